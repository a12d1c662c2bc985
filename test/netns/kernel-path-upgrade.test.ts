/** What the kernel carries by itself outlives an upgrade whose maps have another size, and is known to the next node program. */
import { expect } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { netnsPath, nodeCgroups, nodeNetns } from '../../src/lab/layout.ts';
import { findCgroup2 } from '../../src/lab/system/cgroup.ts';
import { inCgroup, inNetns } from '../../src/lab/system/enter.ts';
import type { ConnectionsDocument } from '../../src/telemetry/admin-api.ts';
import { cliOk, environment } from './support/cli.ts';
import { type Lab, labSuiteWith } from './support/lab.ts';
import { namespace, pod, policy, serverPod } from './support/manifest.ts';
import { PodProcess } from './support/pod-process.ts';
import { until } from './support/wait.ts';

const here = { node: 'node-a' } as const;
const { scenario } = labSuiteWith(
  ['--same-node', 'kernel'],
  namespace('shop', 'ambient'),
  pod('shop/web', here),
  serverPod('shop/cart', here),
);

const denyAll = policy('shop/nobody', 'DENY', '[{}]', 'cart');
const open = 20;
const otherSize = 32_768;

interface Held {
  readonly problems: readonly string[];
}

interface Knocks {
  readonly done: number;
  readonly failures: readonly unknown[];
}

/** The lab's node program once more, beside the one that runs: in the end it has taken over. */
async function successor(lab: Lab, ...flags: readonly string[]): Promise<PodProcess> {
  const { mesh } = nodeCgroups(await findCgroup2(), 'node-a');
  const running = await lab.process('node-a');
  const argv = readFileSync(`/proc/${running?.pid}/cmdline`, 'utf8').split('\0').slice(0, -1);
  const command = [...argv, ...flags] as [string, ...string[]];
  const next = new PodProcess(inCgroup(mesh, inNetns(netnsPath(nodeNetns('node-a')), command)), environment);
  await until(
    'the predecessor to be relieved',
    () => lab.log('node-a').includes('the successor serves'),
    60_000,
  );
  await lab.ready('node-a');
  return next;
}

async function roomForFlows(): Promise<number | undefined> {
  const { items } = JSON.parse(await cliOk(['maps', 'list', '-o', 'json'])) as {
    readonly items: readonly { readonly name: string; readonly capacity: number }[];
  };
  return items.find(({ name }) => name === 'flows')?.capacity;
}

/** Of those that are held. */
async function onKernelPath(lab: Lab): Promise<number> {
  const { live } = await lab.admin<ConnectionsDocument>('node-a', '/v1/connections?only=live');
  return live.filter(
    ({ path, direction, destination }) =>
      path === 'kernel' && direction === 'inbound' && destination.address.endsWith(':7000'),
  ).length;
}

/** Until the kernel carries what `hold` opens by itself. */
async function hold(lab: Lab): Promise<PodProcess> {
  const { ip4 } = lab.pod('shop/cart');
  await lab.client('shop/web', 'exchange', ip4, 7000, 'the first one goes through ztunnel');
  const held = await lab.start('shop/web', 'hold', ip4, 7000, open);
  expect(await held.nextJson()).toEqual({ open, problems: [] });
  await until('all of them to be carried by the kernel', async () => (await onKernelPath(lab)) === open);
  return held;
}

scenario(
  'connections go on through an upgrade to another --max-flows and back, and are judged afterwards',
  async (lab) => {
    const before = await roomForFlows();
    const [held, cut] = [
      await hold(lab),
      await lab.start('shop/web', 'hold', lab.pod('shop/cart').ip4, 7000, 1),
    ];
    expect(await cut.nextJson()).toEqual({ open: 1, problems: [] });
    const knocks = await lab.start('shop/web', 'knock', lab.pod('shop/cart').ip4, 7001);
    const next = await successor(lab, '--max-flows', String(otherSize));
    expect([await roomForFlows(), before]).toEqual([otherSize, 65_536]);
    await until('all to be known', async () => (await onKernelPath(lab)) === open + 1);
    // Back again: the lab starts its own anew when that one ends.
    const ended = await lab.signal('node-a', 'SIGTERM');
    await lab.replaced('node-a', ended);
    // Until then the one before answers.
    await until('the first size to be in force again', async () => (await roomForFlows()) === before, 60_000);
    await lab.ready('node-a');
    await until('all to be known again', async () => (await onKernelPath(lab)) === open + 1);
    const { done, failures } = await knocks.result<Knocks>();
    process.stdout.write(`  ${failures.length} of ${done + failures.length} new connections failed\n`);
    expect(done).toBeGreaterThan(open);
    // Those that one version's programs recorded, and the other's looked for.
    expect(failures.length).toBeLessThanOrEqual(10);
    expect((await held.result<Held>()).problems).toEqual([]);
    await lab.apply(denyAll);
    await until('what is open to be cut', async () => (await onKernelPath(lab)) === 0);
    expect((await cut.result<Held>()).problems).toHaveLength(1);
    await next.kill('SIGTERM');
  },
  200_000,
);
