/** What users notice when a part of the mesh fails: less than they would fear, and never plaintext on the wire. */
import { describe, expect } from '@jest/globals';
import { setTimeout as delay } from 'node:timers/promises';
import { fabricNetns, nodeNetns } from '../../src/lab/layout.ts';
import type { ConnectionsDocument } from '../../src/telemetry/admin-api.ts';
import { LinkCapture } from './support/capture.ts';
import { cliOk, environment } from './support/cli.ts';
import { Lab, labSuite, type NodeId } from './support/lab.ts';
import { namespace, pod, serverPod, service } from './support/manifest.ts';
import { PodProcess } from './support/pod-process.ts';
import { until } from './support/wait.ts';

const { scenario } = labSuite(
  namespace('shop', 'ambient'),
  pod('shop/web', { node: 'node-a' }),
  serverPod('shop/cart', { node: 'node-b' }),
  service('shop/cart', [7000, 7001]),
  pod('shop/bulk', { node: 'node-b', command: '[mesh-ebpf, lab-app, bulk]', readyPort: 9000 }),
  service('shop/bulk', [9000]),
  namespace('legacy', 'none'),
  pod('legacy/old', { node: 'node-a' }),
  serverPod('legacy/db', { node: 'node-b' }),
);

interface Knocked {
  readonly done: number;
  readonly failures: readonly { readonly at: number; readonly error: string; readonly took: number }[];
}

interface Streamed {
  readonly moved?: number;
  readonly ended?: string;
  readonly error?: string;
}

const greets = (lab: Lab): Promise<boolean> => lab.greets('shop/web', 'cart');

/** The kernel's ids of what is pinned: the same before and after means adopted, not rebuilt. */
async function installed(node: NodeId): Promise<readonly string[]> {
  const { items } = JSON.parse(await cliOk(['programs', '--node', node, '-o', 'json'])) as {
    readonly items: readonly { readonly name: string; readonly id: number }[];
  };
  return items.map(({ name, id }) => `${name} ${id}`).toSorted();
}

/** Of all that live: connections of earlier scenarios may not have ended everywhere yet. */
async function liveTo(lab: Lab, node: NodeId, port: number): Promise<number> {
  const { live } = await lab.admin<ConnectionsDocument>(node, '/v1/connections?only=live');
  return live.filter(({ destination }) => destination.address.endsWith(`:${port}`)).length;
}

const holders = (lab: Lab): string => lab.holders('shop/web', 'shop/cart', 'shop/bulk');

async function ip(args: string): Promise<void> {
  const { code, stderr } = await new PodProcess(['ip', ...args.split(' ')], environment).finished;
  if (code !== 0) throw new Error(`ip ${args}: ${stderr}`);
}

const link = (node: NodeId, state: 'up' | 'down'): Promise<void> =>
  ip(`-n ${fabricNetns} link set ${node} ${state}`);

describe('a node program killed with -9 together with its keeper, under load', () => {
  for (const node of ['node-a', 'node-b'] as const) {
    scenario(
      `(${node}) lets nothing out in plaintext, is started again, and serves the same pods`,
      async (lab) => {
        const capture = await LinkCapture.start('tcp');
        try {
          const before = { programs: await installed(node), holders: holders(lab) };
          const stream = await lab.start('shop/web', 'stream', 'cart', 7000);
          const knocks = await lab.start('shop/web', 'knock', 'cart', 7001);
          await Promise.all([stream.nextJson(), knocks.nextJson()]);
          const killed = await lab.signal(node, 'SIGKILL');
          // The connection through it ends for the application too: it does not hang.
          const { stdout } = await stream.finished;
          expect(JSON.parse(stdout.trim().split('\n').at(-1) ?? '')).toHaveProperty(
            stdout.includes('"error"') ? 'error' : 'ended',
          );
          await lab.replaced(node, killed);
          await until('new connections to work', () => greets(lab));
          const { done, failures } = await knocks.result<Knocked>();
          expect(done).toBeGreaterThan(0);
          for (const { error } of failures)
            expect(['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'timeout']).toContain(error);
          expect({ programs: await installed(node), holders: holders(lab) }).toEqual(before);

          await lab.client('legacy/old', 'exchange', lab.pod('legacy/db').ip4, 7000, 'the unmeshed pair');
          await capture.seen('the unmeshed pair');
          expect(capture.count('marker-of-the-stream')).toBe(0);
          expect(capture.count('"client"')).toBe(0);
        } finally {
          await capture.stop();
        }
      },
    );
  }

  scenario('refuses or holds new connections while it is away, and never lets one bypass it', async (lab) => {
    const capture = await LinkCapture.start('tcp');
    const stopped = await lab.signal('node-a', 'SIGSTOP', 'worker');
    try {
      // Stopped, it is there and does nothing: the longest a failure can last without anybody restarting it.
      const waiting = await lab.start('shop/web', 'exchange', 'cart', 7000, 'words to nobody');
      const direct = await lab.start(
        'shop/web',
        'exchange',
        lab.pod('shop/cart').ip4,
        7000,
        'words to nobody',
      );
      await lab.client('legacy/old', 'exchange', lab.pod('legacy/db').ip4, 7000, 'the unmeshed pair');
      await capture.seen('the unmeshed pair');
      await delay(500);
      expect(capture.count('words to nobody')).toBe(0);
      process.kill(stopped.pid, 'SIGCONT');
      for (const client of [waiting, direct]) {
        expect(await client.result()).toMatchObject({ answer: 'words to nobody' });
      }
      expect(capture.count('words to nobody')).toBe(0);
    } finally {
      process.kill(stopped.pid, 'SIGCONT');
      await capture.stop();
    }
  });
});

describe('a node program asked to stop', () => {
  scenario('lets what is under way finish, and the next one takes over', async (lab) => {
    const transfer = await lab.start('shop/web', 'bulk', 'bulk', 9000, 4, 12 * 1024 * 1024);
    await until('the transfer to be under way', async () => (await liveTo(lab, 'node-b', 9000)) === 4);
    const stopped = await lab.signal('node-b', 'SIGTERM');
    const { results } = await transfer.result<{ readonly results: readonly string[] }>();
    expect(results).toEqual(['ok', 'ok', 'ok', 'ok']);
    await lab.replaced('node-b', stopped);
    await until('new connections to work', () => greets(lab));
    expect(lab.log('node-b')).toContain('shutting down');
  });
});

describe('a pod that dies in the middle of a transfer', () => {
  scenario('ends the connection of its peer with an error, at once', async (lab) => {
    await lab.apply(serverPod('shop/mortal', { node: 'node-b' }), '--wait');
    const now = await Lab.attach();
    const stream = await now.start('shop/web', 'stream', now.pod('shop/mortal').ip4, 7000);
    await stream.nextJson();
    const before = Date.now();
    await lab.delete('pod', 'mortal', '-n', 'shop', '--grace-period', '0');
    const { stdout } = await stream.finished;
    expect(Date.now() - before).toBeLessThan(10_000);
    const { ended, error } = JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Streamed;
    expect(error ?? ended).toMatch(/^(ECONNRESET|EPIPE|end of stream)$/);
    expect(await greets(lab)).toBe(true);
  });
});

describe('the link between the nodes', () => {
  scenario(
    'may be down for 5 seconds: transfers wait and finish, and new connections work after',
    async (lab) => {
      const transfer = await lab.start('shop/web', 'bulk', 'bulk', 9000, 2, 96 * 1024 * 1024);
      await until('the transfer to be under way', async () => (await liveTo(lab, 'node-b', 9000)) === 2);
      await link('node-b', 'down');
      try {
        const { error } = await lab.client('shop/web', 'probe', lab.pod('shop/cart').ip4, 7001, '', 1);
        expect(error).toBe('timeout');
        await delay(5000);
      } finally {
        await link('node-b', 'up');
      }
      const { results } = await transfer.result<{ readonly results: readonly string[] }>();
      expect(results).toEqual(['ok', 'ok']);
      expect(await greets(lab)).toBe(true);
    },
  );
});

const twin = (name: string): string =>
  serverPod(`shop/${name}`, { node: 'node-b' }).replace(`app: ${name}`, 'app: twins');

describe('a pod of a Service that answers nothing, although it counts as ready', () => {
  scenario(
    'fails no connection: another pod is tried after a second, and the silent one avoided',
    async (lab) => {
      await lab.apply(twin('twin-1') + twin('twin-2') + service('shop/twins', [7000, 7001], false), '--wait');
      const now = await Lab.attach();
      await until('the Service to answer', () => now.greets('shop/web', 'twins'));
      const silent = `${now.pod('shop/twin-1').ip4}/32`;
      // No route, no answer, no error: what a SYN to a pod that vanished with its node meets.
      await ip(`-n ${nodeNetns('node-a')} route add blackhole ${silent}`);
      try {
        const begun = performance.now();
        for (let i = 0; i < 20; i++) {
          const text = `call ${i}`;
          expect(await now.client('shop/web', 'exchange', 'twins', 7000, text)).toMatchObject({
            answer: text,
          });
        }
        // Half of them would have waited 10 s each.
        expect(performance.now() - begun).toBeLessThan(50_000);
      } finally {
        await ip(`-n ${nodeNetns('node-a')} route del blackhole ${silent}`);
      }
    },
  );
});
