/**
 * A kubelet of the lab that dies is started again and finds everything as it was: pods, connections and the mesh's
 * processes go on without it, and it takes them over.
 */
import { describe, expect } from '@jest/globals';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type LabStatus, labStatus as readStatus } from '../../src/lab/commands/status.ts';
import { readLabState } from '../../src/lab/lab-file.ts';
import { readPodRecord } from '../../src/lab/pod-record.ts';
import { cli } from './support/cli.ts';
import { context } from './lab-support.ts';
import { Lab, labSuite } from './support/lab.ts';
import { namespace, pod, serverPod, service } from './support/manifest.ts';
import { eventually, until } from './support/wait.ts';

const once = (name: string): string => `---
apiVersion: v1
kind: Pod
metadata: { name: ${name}, namespace: shop }
spec: { nodeName: node-b, restartPolicy: Never, containers: [{ name: c, command: [sh, -c, 'echo once'] }] }
`;

const polite = (farewell: string): string => `---
apiVersion: v1
kind: Pod
metadata: { name: polite, namespace: shop }
spec:
  nodeName: node-b
  containers: [{ name: c, command: [sh, -c, 'trap "echo goodbye >${farewell}; exit" TERM; while :; do sleep 0.1; done'] }]
`;

const { scenario } = labSuite(
  namespace('shop', 'ambient'),
  pod('shop/web', { node: 'node-a' }),
  serverPod('shop/cart', { node: 'node-b' }),
  pod('shop/holder', { node: 'node-b' }),
  service('shop/cart', [7000, 7001]),
);

type Process = LabStatus['nodes'][number]['processes'][number];

async function processOf(name: string): Promise<Process> {
  const { nodes } = await readStatus(context);
  const found = nodes.find((node) => node.name === 'node-b')?.processes.find((one) => one.name === name);
  if (found === undefined) throw new Error(`node-b has no ${name}`);
  return found;
}

const podOf = async (name: string): Promise<LabStatus['pods'][number] | undefined> =>
  (await readStatus(context)).pods.find((one) => one.name === name);

/** The kubelet of node-b dies; returns when the next one serves. */
async function die(lab: Lab): Promise<Process> {
  const { pid } = await lab.signal('node-b', 'SIGKILL', 'kubelet');
  return await eventually('the next kubelet', async () => {
    const now = await processOf('kubelet');
    return now.pid === null || now.pid === pid ? undefined : now;
  });
}

/** Looks again and again whether all pods and their Service are ready; `stop` returns what was not. */
function watchReadiness(): { readonly stop: () => Promise<readonly unknown[]> } {
  const stopped = new AbortController();
  const seen: unknown[] = [];
  const look = async (): Promise<readonly unknown[]> => {
    while (!stopped.signal.aborted) {
      const { pods, services } = await readStatus(context);
      seen.push(...pods.filter(({ ready, phase }) => !ready && phase !== 'Succeeded'));
      seen.push(...services.filter(({ endpoints }) => endpoints.ready !== 1));
      await delay(20);
    }
    return seen;
  };
  const looking = look();
  return { stop: () => (stopped.abort(), looking) };
}

/** Nobody starts a kubelet on node-b meanwhile. */
async function withoutKubelet(lab: Lab, action: () => Promise<void>): Promise<void> {
  const keeper = (await readLabState(lab.layout))?.kubelets['node-b'];
  if (keeper === undefined) throw new Error('nobody keeps the kubelet of node-b');
  process.kill(keeper.pid, 'SIGSTOP');
  try {
    await lab.signal('node-b', 'SIGKILL', 'kubelet');
    await action();
  } finally {
    process.kill(keeper.pid, 'SIGCONT');
  }
  await until('a kubelet', async () => (await processOf('kubelet')).pid !== null);
}

describe('a kubelet that dies', () => {
  scenario('is started again; pods, connections and the node program never notice', async (lab) => {
    await lab.apply(once('once'));
    await until('a pod that is over', async () => (await podOf('once'))?.phase === 'Succeeded');
    const before = {
      holders: lab.holders('shop/cart', 'shop/holder'),
      node: await lab.process('node-b'),
      restarts: (await processOf('kubelet')).restarts,
    };
    const held = await lab.start('shop/web', 'hold', 'cart', 7000, 10);
    expect(await held.nextJson()).toEqual({ open: 10, problems: [] });
    const watch = watchReadiness();
    expect(await die(lab)).toMatchObject({ restarts: before.restarts + 1, lastExit: 'SIGKILL' });
    // Two rounds of its readiness probes.
    await delay(2500);
    expect(await watch.stop()).toEqual([]);
    expect(await held.result()).toMatchObject({ problems: [] });
    expect(lab.holders('shop/cart', 'shop/holder')).toBe(before.holders);
    expect(await lab.process('node-b')).toEqual(before.node);
    expect((await processOf('node')).restarts).toBe(0);
    expect([(await podOf('once'))?.phase, readFileSync(lab.layout.pod('shop', 'once').log, 'utf8')]).toEqual([
      'Succeeded',
      'once\n',
    ]);
    await lab.delete('pod', 'once', '-n', 'shop');
  });

  scenario('has a successor that does all that a kubelet does', async (lab) => {
    await die(lab);
    const killed = await lab.signal('node-b', 'SIGKILL');
    await lab.replaced('node-b', killed);
    expect(await processOf('node')).toMatchObject({ restarts: 1, lastExit: 'unknown' });

    const { namespace: where, name } = lab.pod('shop/cart');
    const { container } = (await readPodRecord(lab.layout.pod(where, name))) ?? {};
    expect(container).toBeDefined();
    process.kill(container?.pid ?? 0, 'SIGKILL');
    await until('the command of a pod to be started again', async () => {
      const now = await podOf('cart');
      return now?.restarts === 1 && now.ready;
    });
    expect(await lab.greets('shop/web', 'cart')).toBe(true);

    await lab.apply(serverPod('shop/new', { node: 'node-b' }), '--wait');
    const now = await Lab.attach();
    expect(await now.greets('shop/new', 'cart')).toBe(true);
    await lab.delete('pod', 'new', 'holder', '-n', 'shop');
    expect([await podOf('new'), await podOf('holder')]).toEqual([undefined, undefined]);
  });

  scenario(
    'and stays away is reported; what was asked for meanwhile is done by the next one',
    async (lab) => {
      const directory = mkdtempSync(join(tmpdir(), 'mesh-netns-'));
      const farewell = join(directory, 'farewell');
      await lab.apply(polite(farewell), '--wait');
      let killed = await lab.process('node-b');
      await withoutKubelet(lab, async () => {
        const { code, stdout } = await cli(['lab', 'status']);
        expect(code).toBe(1);
        expect(stdout).toMatch(/^node-b .* kubelet NOT RUNNING/m);
        killed = await lab.signal('node-b', 'SIGKILL');
        await lab.delete('pod', 'polite', '-n', 'shop', '--no-wait');
        await lab.apply(pod('shop/later', { node: 'node-b' }));
        expect(existsSync(farewell)).toBe(false);
      });
      await until('the pod to end', async () => (await podOf('polite')) === undefined);
      expect(readFileSync(farewell, 'utf8')).toBe('goodbye\n');
      rmSync(directory, { recursive: true });
      await until('the new pod', async () => (await podOf('later'))?.ready === true);
      if (killed !== undefined) await lab.replaced('node-b', killed);
      expect(await lab.greets('shop/web', 'cart')).toBe(true);
    },
  );
});
