/**
 * How soon a policy is in force, from the moment its file is there: until the first connection is refused, and until one
 * that lives is ended. On nodes that know a thousand pods more, which run nowhere. Prints what it measured.
 */
import { describe, expect } from '@jest/globals';
import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type Lab, labSuite } from './support/lab.ts';
import { namespace, pod, policy, serverPod } from './support/manifest.ts';
import { patience, until } from './support/wait.ts';

const others = 1_000;
const rounds = 15;
/** Far beyond what is wanted: others use the machine, too. */
const generousMs = 1_000 * patience;

const { scenario } = labSuite(
  namespace('shop', 'ambient'),
  pod('shop/web', { node: 'node-a' }),
  serverPod('shop/cart', { node: 'node-b' }),
  namespace('crowd', 'ambient'),
);

/** On a node that there is not, so nobody starts it. */
const farPod = (i: number): string => `
apiVersion: v1
kind: Pod
metadata: { name: far-${i}, namespace: crowd, uid: far-${i}, labels: { app: far-${i % 50} } }
spec: { nodeName: node-far, serviceAccountName: far-${i % 50}, containers: [{ name: main }] }
status:
  phase: Running
  podIP: 10.199.${i >> 8}.${i & 255}
  podIPs: [{ ip: 10.199.${i >> 8}.${i & 255} }]
  conditions: [{ type: Ready, status: "True" }]
`;

/** As the lab's API server does: nobody sees half a file. */
function put(lab: Lab, name: string, yaml: string): void {
  const staged = join(lab.layout.staging, name);
  writeFileSync(staged, yaml);
  renameSync(staged, join(lab.layout.objects, name));
}

const policyFile = 'authorizationpolicy_shop_closed.yaml';
const closed = policy('shop/closed', 'DENY', '[{}]', 'cart');

interface Said {
  readonly at: number;
  readonly answer: 'let in' | 'refused' | 'ended';
}

/** Hears a `knock.ts` in the pod that calls. */
async function knocker(lab: Lab, ...mode: readonly string[]) {
  const script = new URL('support/pod/knock.ts', import.meta.url).pathname;
  const running = await lab.spawn('shop/web', [
    process.execPath,
    script,
    lab.pod('shop/cart').ip4,
    '7001',
    ...mode,
  ]);
  const heard: Said[] = [];
  const lines = createInterface(running.child.stdout);
  lines.on('line', (line) => void heard.push(JSON.parse(line) as Said));
  const next = async (answer: Said['answer'], after: number): Promise<number> => {
    const find = (): Said | undefined => heard.find((said) => said.answer === answer && said.at >= after);
    await until(`a connection to be ${answer}`, async () => find() !== undefined);
    return (find()?.at ?? Number.NaN) - after;
  };
  return { next, stop: () => running.child.stdin.end() };
}

const now = (): number => performance.timeOrigin + performance.now();

function report(what: string, times: readonly number[]): void {
  const sorted = times.toSorted((a, b) => a - b);
  const [p50, most] = [sorted[Math.floor(sorted.length / 2)] ?? Number.NaN, sorted.at(-1) ?? Number.NaN];
  process.stdout.write(`${what}: p50 ${p50.toFixed(0)} ms, most ${most.toFixed(0)} ms of ${times.length}\n`);
  expect(p50).toBeLessThan(generousMs);
}

describe('a policy that is there', () => {
  scenario(
    'refuses the next connection, and ends those that live, within a moment',
    async (lab) => {
      for (let i = 0; i < others; i++) put(lab, `pod_crowd_far-${i}.yaml`, farPod(i));
      await until('the nodes to know them', async () => {
        const { items } = await lab.admin<{ readonly items: readonly unknown[] }>('node-b', '/v1/workloads');
        return items.length > others;
      });
      const knocking = await knocker(lab);
      const refused: number[] = [];
      const ended: number[] = [];
      for (let i = 0; i < rounds; i++) {
        await knocking.next('let in', now());
        const held = await knocker(lab, 'hold');
        await held.next('let in', 0);
        const start = now();
        put(lab, policyFile, closed);
        const [first, end] = await Promise.all([knocking.next('refused', start), held.next('ended', start)]);
        refused.push(first);
        ended.push(end);
        held.stop();
        rmSync(join(lab.layout.objects, policyFile));
      }
      knocking.stop();
      report(`policy file → first connection refused, ${others} pods more`, refused);
      report(`policy file → live connection ended, ${others} pods more`, ended);
    },
    180_000,
  );
});
