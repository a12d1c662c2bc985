/**
 * The node program dies and comes back, or is replaced by its next version, under its keeper: connections wait in the
 * listen queues meanwhile, and nobody is refused who would not have been; nor let past the mesh.
 */
import { describe, expect } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { netnsPath, nodeCgroups, nodeNetns } from '../../src/lab/layout.ts';
import { findCgroup2 } from '../../src/lab/system/cgroup.ts';
import { inCgroup, inNetns } from '../../src/lab/system/enter.ts';
import type { ProcessRef } from '../../src/lab/system/process.ts';
import { LinkCapture } from './support/capture.ts';
import { environment } from './support/cli.ts';
import { type Lab, labSuite, type NodeId } from './support/lab.ts';
import { namespace, pod, serverPod, service } from './support/manifest.ts';
import { PodProcess } from './support/pod-process.ts';
import { eventually, until } from './support/wait.ts';

const { scenario } = labSuite(
  namespace('shop', 'ambient'),
  pod('shop/web', { node: 'node-a' }),
  serverPod('shop/cart', { node: 'node-b' }),
  service('shop/cart', [7000, 7001]),
);

const kills = 10;
const perSecond = 200;
const words = 'words of the arrivals';

interface Arrived {
  readonly done: number;
  readonly failures: readonly { readonly at: number; readonly error: string; readonly took: number }[];
  /** Seconds. */
  readonly slowest: number;
}

/** No more are under way at a time when all goes well, even on a busy machine. */
const usual = 10;
/** Half a second's worth: so many went well before each disturbance, however fast the machine is. */
const enough = 100;

interface Progress {
  readonly under_way: number;
  readonly done: number;
}

/** Waits until connections go through as they come; what was said before now is of no interest. */
async function steady(load: PodProcess): Promise<void> {
  load.forget();
  let doneBefore: number | undefined;
  await until(
    'the connections to go through as they come',
    async () => {
      const { under_way: underWay, done } = await load.nextJson<Progress>();
      doneBefore ??= done;
      return underWay <= usual && done - doneBefore >= enough;
    },
    60_000,
  );
}

/** What users saw of `disturb`, at 200 new connections a second. Fails if a word of theirs was seen in plaintext. */
async function underLoad(lab: Lab, disturb: (load: PodProcess) => Promise<void>): Promise<Arrived> {
  const capture = await LinkCapture.start('tcp');
  const load = await lab.start('shop/web', 'arrivals', 'cart', 7001, perSecond, words);
  try {
    await load.nextJson();
    await steady(load);
    await disturb(load);
    await steady(load);
    const arrived = await load.result<Arrived>();
    expect(capture.count(words)).toBe(0);
    return arrived;
  } finally {
    await load.kill('SIGKILL');
    await capture.stop();
  }
}

function report(what: string, { done, failures, slowest }: Arrived): void {
  const errors = Object.entries(Object.groupBy(failures, ({ error }) => error));
  const told = errors.map(([error, list]) => `${list?.length} ${error}`).join(', ');
  const line = `${what}: ${failures.length} of ${done + failures.length} requests failed (${told || 'none'})`;
  process.stdout.write(`  ${line}, the slowest took ${slowest} s\n`);
}

/** Kills the node program and stops its successor right at the start: there is nobody then, for as long as we want. */
async function absent(lab: Lab, node: NodeId): Promise<ProcessRef> {
  const killed = await lab.signal(node, 'SIGKILL', 'worker');
  const next = await eventually('the next node program', async () => {
    const now = await lab.process(node, 'worker');
    return now?.pid === killed.pid ? undefined : now;
  });
  process.kill(next.pid, 'SIGSTOP');
  return next;
}

describe('a node program killed with -9 under 200 new connections a second', () => {
  for (const node of ['node-a', 'node-b'] as const) {
    const side = node === 'node-a' ? 'the clients’ node' : 'the server’s node';
    scenario(
      `(${side}) ten times costs at most 10 requests a kill, and no word in plaintext`,
      async (lab) => {
        const gaps: number[] = [];
        const arrived = await underLoad(lab, async (load) => {
          for (let i = 0; i < kills; i++) {
            await steady(load);
            const before = Date.now();
            const killed = await lab.signal(node, 'SIGKILL', 'worker');
            await lab.replaced(node, killed, 'worker');
            gaps.push(Date.now() - before);
          }
        });
        report(`${kills} kills of ${side}`, arrived);
        process.stdout.write(`  from kill to ready, ms: ${gaps.toSorted((a, b) => a - b).join(' ')}\n`);
        expect(arrived.done).toBeGreaterThanOrEqual(kills * enough);
        expect(arrived.failures.length).toBeLessThanOrEqual(10 * kills);
      },
      300_000,
    );
  }
});

describe('while there is no node program', () => {
  for (const node of ['node-a', 'node-b'] as const) {
    scenario(`on ${node}, connections wait for the next one and then work`, async (lab) => {
      const next = await absent(lab, node);
      const waiting = await lab.start('shop/web', 'exchange', 'cart', 7000, 'patience');
      await delay(1000);
      expect(waiting.child.exitCode).toBeNull();
      process.kill(next.pid, 'SIGCONT');
      expect(await waiting.result()).toMatchObject({ answer: 'patience' });
      await lab.ready(node);
    });
  }

  scenario(
    'for too long, they are refused and never let past the mesh; afterwards all works again',
    async (lab) => {
      const capture = await LinkCapture.start('tcp');
      try {
        await absent(lab, 'node-a');
        const waiting = await lab.start('shop/web', 'patient', 'cart', 7000, 'words to nobody');
        const { error, seconds } = await waiting.result<{
          readonly error?: string;
          readonly seconds: number;
        }>();
        expect(error).toMatch(/^(ECONNRESET|ECONNREFUSED|EPIPE)$/);
        expect(seconds).toBeLessThan(45);
        expect(capture.count('words to nobody')).toBe(0);
        expect(lab.log('node-a')).toContain('connections of pods are refused from now on');
        await until('connections to work again', () => lab.greets('shop/web', 'cart'));
      } finally {
        await capture.stop();
      }
    },
  );
});

describe('a node program that restarts while the certificate authority is away', () => {
  scenario('serves with the certificates its keeper held', async (lab) => {
    const controller = await lab.signal('node-a', 'SIGSTOP', 'controller');
    try {
      for (const node of ['node-a', 'node-b'] as const) {
        const killed = await lab.signal(node, 'SIGKILL', 'worker');
        await lab.replaced(node, killed, 'worker');
      }
      expect(await lab.greets('shop/web', 'cart')).toBe(true);
    } finally {
      process.kill(controller.pid, 'SIGCONT');
    }
  });
});

describe('the next version of the node program, started beside the one that runs', () => {
  scenario(
    'takes over its sockets, and no connection is refused',
    async (lab) => {
      const { mesh } = nodeCgroups(await findCgroup2(), 'node-a');
      const supervised = await lab.process('node-a');
      const argv = readFileSync(`/proc/${supervised?.pid}/cmdline`, 'utf8').split('\0').slice(0, -1);
      const program = inNetns(netnsPath(nodeNetns('node-a')), argv as [string, ...string[]]);
      let successor: PodProcess | undefined;
      const arrived = await underLoad(lab, async () => {
        successor = new PodProcess(inCgroup(mesh, program), environment);
        await until('the predecessor to be relieved', () =>
          lab.log('node-a').includes('the successor serves'),
        );
        await lab.ready('node-a');
        // Its DaemonSet would end it now; the lab starts another one, which takes over in turn.
        const ended = await lab.signal('node-a', 'SIGTERM');
        await lab.replaced('node-a', ended);
      });
      report('two upgrades', arrived);
      expect(arrived.failures).toEqual([]);
      const { code, stdout } = await (successor as unknown as PodProcess).kill('SIGTERM');
      expect({ code, relieved: stdout.includes('the successor serves') }).toEqual({
        code: 0,
        relieved: true,
      });
    },
    200_000,
  );
});
