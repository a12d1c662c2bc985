/** Connections within a node that go from socket to socket, as who runs the mesh asks for them and sees them. */
import { expect } from '@jest/globals';
import type { ConnectionsDocument } from '../../src/telemetry/admin-api.ts';
import { cliOk } from './support/cli.ts';
import { type Lab, labSuiteWith } from './support/lab.ts';
import { namespace, pod, serverPod } from './support/manifest.ts';
import { knocker, now } from './support/speed.ts';
import { until } from './support/wait.ts';

const here = { node: 'node-a' } as const;
const wish = (asks: boolean): string => `annotations: { mesh-ebpf.io/accelerate: "${asks}" }`;

const { scenario } = labSuiteWith(
  ['--accelerate', 'auto'],
  namespace('shop', 'ambient').replace('  name: shop\n', `  name: shop\n  ${wish(true)}\n`),
  pod('shop/web', here),
  pod('shop/shy', here).replace('labels: { app: shy }', `labels: { app: shy }, ${wish(false)}`),
  serverPod('shop/cart', here),
);

/** What the kernel carries of this pod, both sides of each. */
const carried = async (lab: Lab, client: string): Promise<ConnectionsDocument['live']> => {
  const target = `/v1/connections?only=live&path=kernel&namespace=shop&pod=${client}`;
  return (await lab.admin<ConnectionsDocument>('node-a', target)).live;
};

/** Has the pod hold two connections to `cart` that the kernel carries, with what it is told of them. */
async function holding(lab: Lab, client: string, look: () => Promise<void>): Promise<void> {
  const knocking = await knocker(lab, `shop/${client}`, 'shop/cart');
  // The first through ztunnel, the second by its verdict.
  for (let n = 0; n < 2; n++) await knocking.next('let in', now());
  knocking.stop();
  const held = await knocker(lab, `shop/${client}`, 'shop/cart', 'hold', '2');
  await until('the kernel to carry them', async () => (await carried(lab, client)).length === 4);
  await look();
  held.stop();
  await until('their end', async () => (await carried(lab, client)).length === 0);
}

scenario('connections of pods that ask for it are accelerated, and told so on both sides', async (lab) => {
  await holding(lab, 'web', async () => {
    const told = (await carried(lab, 'web')).map(({ direction, accelerated }) => [direction, accelerated]);
    const twice = [
      ['inbound', true],
      ['outbound', true],
    ];
    expect(told).toEqual([...twice, ...twice]);
    const table = await cliOk(['connections', '--live', '-p', 'shop/web', '--path', 'kernel']);
    expect(table.match(/shop\/web +shop\/cart:7001 +kernel, accelerated +both/g)).toHaveLength(2);
  });
});

scenario('those of a pod that objects are not', async (lab) => {
  await holding(lab, 'shy', async () => {
    expect((await carried(lab, 'shy')).map(({ accelerated }) => accelerated)).toEqual(Array(4).fill(false));
    const table = await cliOk(['connections', '--live', '-p', 'shop/shy', '--path', 'kernel']);
    expect(table.match(/shop\/shy +shop\/cart:7001 +kernel +both/g)).toHaveLength(2);
  });
});
