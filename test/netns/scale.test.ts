/** Many connections, many pods, and nothing left behind of them. */
import { beforeAll, describe, expect } from '@jest/globals';
import { readdirSync, readFileSync } from 'node:fs';
import { Lab, labSuite, nodeIds } from './support/lab.ts';
import { namespace, pod, serverPod, service } from './support/manifest.ts';
import type { PodProcess } from './support/pod-process.ts';
import { until } from './support/wait.ts';

const { lab: suite, scenario } = labSuite(
  namespace('shop', 'ambient'),
  pod('shop/web', { node: 'node-a' }),
  serverPod('shop/cart', { node: 'node-b' }),
  serverPod('shop/near', { node: 'node-a' }),
  ...['cart', 'near'].map((name) => service(`shop/${name}`, [7000, 7001])),
  namespace('crowd', 'ambient'),
);

const connectionCount = 2000;
const podCount = 200;

interface Usage {
  readonly fds: number;
  /** Megabytes of resident memory that are the process's own. */
  readonly memory: number;
}

async function usage(lab: Lab): Promise<readonly Usage[]> {
  return await Promise.all(
    nodeIds.map(async (node) => {
      const found = await lab.process(node, 'worker');
      if (found === undefined) throw new Error(`the node program of ${node} does not run`);
      const status = readFileSync(`/proc/${found.pid}/status`, 'utf8');
      const kilobytes = Number(/^RssAnon:\s+(\d+) kB/m.exec(status)?.[1]);
      return { fds: readdirSync(`/proc/${found.pid}/fd`).length, memory: kilobytes / 1024 };
    }),
  );
}

/** Waits until the nodes hold no more than before: a few sockets of pools and probes may differ. */
async function backTo(lab: Lab, before: readonly Usage[], slack: number): Promise<void> {
  await until(
    `as few descriptors as before (${before.map(({ fds }) => fds).join(', ')})`,
    async () => (await usage(lab)).every(({ fds }, i) => fds <= (before[i]?.fds ?? 0) + slack),
    40_000,
  );
}

const live = async (lab: Lab): Promise<number> => (await lab.status('node-a')).connections.live;

describe('two thousand connections at once', () => {
  let before: readonly Usage[] = [];
  beforeAll(async () => {
    await suite().client('shop/web', 'greet', 'cart');
    before = await usage(suite());
  }, 30_000);

  scenario('through one pair of pods all work, and go on working', async (lab) => {
    const held = await lab.start('shop/web', 'hold', lab.pod('shop/cart').ip4, 7000, connectionCount);
    expect(await held.nextJson()).toEqual({ open: connectionCount, problems: [] });
    expect(await live(lab)).toBeGreaterThanOrEqual(connectionCount);
    const { connections } = await lab.status('node-a');
    // A hundred streams share a tunnel.
    expect(connections.tunnelsOut).toBeLessThanOrEqual(60);
    for (const [i, { memory }] of (await usage(lab)).entries()) {
      // Well below what two buffers of a socket each would come to.
      expect(memory - (before[i]?.memory ?? 0)).toBeLessThan(250);
    }
    expect((await lab.client('shop/web', 'greet', 'cart')).greeting).toBeTruthy();
    expect(await held.result()).toMatchObject({ problems: [] });
  });

  scenario('leave nothing behind when they end', async (lab) => {
    await until('all of them to be gone', async () => (await live(lab)) === 0);
    await backTo(lab, before, 60);
    for (const node of nodeIds) expect((await lab.status(node)).connections.bufferedBytes).toBe(0);
  });
});

describe('pods that come and go', () => {
  const names = Array.from({ length: podCount }, (_, i) => `crowd/pod-${i}`);

  scenario(
    `by the ${podCount} do not make a single request of the others fail`,
    async (lab) => {
      await until('a quiet lab', async () => (await live(lab)) === 0);
      const before = await usage(lab);
      const bystanders: readonly PodProcess[] = await Promise.all(
        ['cart', 'near'].map((name) => lab.start('shop/web', 'knock', name, 7001)),
      );
      await Promise.all(bystanders.map((each) => each.nextJson()));
      const stream = await lab.start('shop/web', 'stream', 'cart', 7000);
      await stream.nextJson();

      await lab.apply(names.map((name) => pod(name)).join(''), '--wait', '--timeout', '150s');
      const [a, b] = await Promise.all(nodeIds.map((node) => lab.status(node)));
      expect((a?.pods.enrolled ?? 0) + (b?.pods.enrolled ?? 0)).toBe(podCount + 3);
      const crowd = await Lab.attach();
      for (const name of [names[0], names.at(-1)]) {
        expect((await crowd.client(name ?? '', 'greet', 'cart.shop')).greeting).toBeTruthy();
      }
      await lab.delete('namespace', 'crowd', '--grace-period', '0');
      await until('the nodes to have let go of them', async () => {
        const [left, right] = await Promise.all(nodeIds.map((node) => lab.status(node)));
        return (left?.pods.enrolled ?? 0) + (right?.pods.enrolled ?? 0) === 3;
      });

      for (const each of bystanders) {
        const { done, failures } = await each.result<{
          readonly done: number;
          readonly failures: readonly unknown[];
        }>();
        expect(failures).toEqual([]);
        expect(done).toBeGreaterThan(100);
      }
      expect(await stream.result()).toMatchObject({ ended: 'by command' });
      await backTo(lab, before, 40);
    },
    240_000,
  );
});
