/** The kernel path under load: a hundred thousand connections, ten thousand at once, and changes of policy meanwhile. */
import { afterAll, describe, expect } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cliOk, program } from './support/cli.ts';
import { type Lab, labSuiteWith } from './support/lab.ts';
import { namespace, pod, policy, serviceAccount } from './support/manifest.ts';
import type { ConnectionsDocument } from '../../src/telemetry/admin-api.ts';
import type { PodProcess } from './support/pod-process.ts';
import { patience, until } from './support/wait.ts';

const directory = mkdtempSync(join(tmpdir(), 'mesh-load-'));
const load = join(directory, 'load');
execFileSync('gcc', ['-O2', '-o', load, new URL('support/pod/load.c', import.meta.url).pathname]);
afterAll(() => rmSync(directory, { recursive: true }));

const ports = { greet: 7100, echo: 7101 } as const;
const here = { node: 'node-a' } as const;
const { scenario } = labSuiteWith(
  ['--same-node', 'kernel'],
  namespace('shop', 'ambient'),
  ...['web', 'batch'].map((name) => serviceAccount(`shop/${name}`)),
  pod('shop/web', { ...here, serviceAccount: 'web' }),
  pod('shop/batch', { ...here, serviceAccount: 'batch' }),
  pod('shop/cart', {
    ...here,
    command: `[${load}, serve, '${ports.greet}', '${ports.echo}']`,
    readyPort: ports.greet,
  }),
);

const short = 100_000;
const atOnce = 10_000;
const perSecond = 1000;
const changes = 4;

const start = (
  lab: Lab,
  from: string,
  mode: 'short' | 'hold' | 'knock',
  port: number,
  n: number,
): Promise<PodProcess> => lab.spawn(from, [load, mode, lab.pod('shop/cart').ip4, String(port), String(n)]);

interface Shorts {
  readonly done: number;
  readonly failed: number;
}

async function shorts(lab: Lab, count: number, from = 'shop/web'): Promise<Shorts> {
  const running = await start(lab, from, 'short', ports.greet, count);
  return await running.nextJson<Shorts>();
}

async function metric(lab: Lab, sample: RegExp): Promise<number> {
  const page = [program, 'lab-app', 'get', 'http://127.0.0.1:15020/metrics'] as const;
  const { stdout } = await lab.onNode('node-a', page).finished;
  const { body } = JSON.parse(stdout) as { readonly body: string };
  return body
    .split('\n')
    .filter((line) => sample.test(line))
    .reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}

const told = (lab: Lab): Promise<number> =>
  metric(lab, /^istio_tcp_connections_closed_total\{.*reporter="destination".*destination_workload="cart"/);
const untold = (lab: Lab): Promise<number> =>
  metric(lab, /^mesh_datapath_events_total\{event="endedUntold"\}/);

/** But for those of connections that nobody waits for any more: they go after a minute. */
async function recordsOfKernelPath(): Promise<number> {
  const { items } = JSON.parse(await cliOk(['maps', 'dump', 'flows', '-o', 'json'])) as {
    readonly items: readonly { readonly origin: string; readonly stage: string }[];
  };
  return items.filter(({ origin, stage }) => origin === 'kernel' && !stage.endsWith('given up')).length;
}

/** Of its own, in megabytes. */
async function memory(lab: Lab): Promise<number> {
  const found = await lab.process('node-a', 'worker');
  if (found === undefined) throw new Error('the node program does not run');
  return Number(/^RssAnon:\s+(\d+) kB/m.exec(readFileSync(`/proc/${found.pid}/status`, 'utf8'))?.[1]) / 1024;
}

const onKernelPath = (lab: Lab): Promise<void> =>
  until('the kernel path', async () => {
    await shorts(lab, 2);
    return (await lab.connections('node-a')).some(
      ({ path, source }) => path === 'kernel' && source.workload === 'shop/web',
    );
  });

const deny = policy('shop/nobody', 'DENY', '[{}]', 'cart');

/** The policy is there when this returns: every node has said that it goes by it. */
async function close(lab: Lab): Promise<void> {
  const { source } = await lab.status('node-a');
  await lab.apply(deny);
  await until('the node to have the policy', async () => {
    const now = await lab.status('node-a');
    return now.source.meshVersion > source.meshVersion;
  });
}

async function open(lab: Lab): Promise<void> {
  await lab.delete('authorizationpolicy', 'nobody', '-n', 'shop');
  await until('the policy to be gone', async () => (await shorts(lab, 1)).done === 1);
}

const noneLeft = (): Promise<void> =>
  until('no record to be left', async () => (await recordsOfKernelPath()) === 0, 60_000);

describe(`${short} connections between two pods, one after another,`, () => {
  scenario(
    'all work, each is told of or counted as untold, and none leaves a record',
    async (lab) => {
      await onKernelPath(lab);
      const before = { told: await told(lab), untold: await untold(lab), memory: await memory(lab) };
      expect(await shorts(lab, short)).toEqual({ done: short, failed: 0 });
      const news = async () => (await told(lab)) - before.told + (await untold(lab)) - before.untold;
      await until('all of them to be accounted for', async () => (await news()) >= short, 60_000);
      expect(await news()).toBe(short);
      // Most are told of: it takes a node program that is far behind to leave any out.
      expect((await told(lab)) - before.told).toBeGreaterThan(short / 10);
      expect((await memory(lab)) - before.memory).toBeLessThan(250);
      await noneLeft();
    },
    240_000 * patience,
  );
});

describe(`${atOnce} connections between two pods at once`, () => {
  scenario(
    'all work, are all listed, and are all cut by one policy',
    async (lab) => {
      await onKernelPath(lab);
      const greeted = await start(lab, 'shop/web', 'hold', ports.echo, 1);
      expect(await greeted.nextJson()).toEqual({ open: 1, failed: 0 });
      const held = await start(lab, 'shop/web', 'hold', ports.echo, atOnce);
      expect(await held.nextJson()).toEqual({ open: atOnce, failed: 0 });
      const { live } = await lab.admin<ConnectionsDocument>('node-a', '/v1/connections?only=live');
      expect(
        live.filter(({ path, source }) => path === 'kernel' && source.workload === 'shop/web'),
      ).toHaveLength(2 * atOnce); // on both sides
      await close(lab);
      try {
        expect(await held.nextJson()).toEqual({ ended: atOnce });
        expect(await greeted.nextJson()).toEqual({ ended: 1 });
        await noneLeft();
      } finally {
        await open(lab);
      }
    },
    240_000 * patience,
  );
});

interface Knocks {
  readonly admitted: number;
  readonly refused: number;
}

describe(`a change of policy while ${perSecond} connections a second are dialled`, () => {
  scenario(
    'lets none of them in that is dialled after it is in force, each time',
    async (lab) => {
      await onKernelPath(lab);
      const knocking = await start(lab, 'shop/web', 'knock', ports.greet, perSecond);
      const since = async (moment: number): Promise<Knocks> => {
        knocking.child.stdin.write(`${moment}\n`);
        return await knocking.nextJson<Knocks>();
      };
      for (let i = 0; i < changes; i++) {
        const opened = Date.now();
        await until('many to be let in', async () => (await since(opened)).admitted > 300);
        await close(lab);
        const closed = Date.now() + 1;
        await until('many to be refused', async () => (await since(closed)).refused > 100);
        expect(await since(closed)).toMatchObject({ admitted: 0 });
        await open(lab);
      }
      await knocking.stop();
      await noneLeft();
    },
    120_000 * patience,
  );
});
