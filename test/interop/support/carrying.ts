/** What every foreign HBONE proxy and ours must do together; each peer's test file adds what only it can show. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { StatusDocument } from '../../../src/telemetry/admin-api.ts';
import type { Order } from './app.ts';
import { exchange, startExchange, whole, wholeOf } from './apps.ts';
import { OurMesh } from './our-mesh.ts';
import { cart, identities, type Pair, startPair, type StartProxy, type Way } from './pair.ts';
import { waitFor } from './processes.ts';

const minute = 60_000;
const bulk = 100_000_000;

const ways = [
  ['from our pod to theirs', 'fromUs', 'outbound'],
  ['from their pod to ours', 'fromThem', 'inbound'],
] as const;

/** @returns the pair, once the tests run */
export function carries(startProxy: StartProxy): () => Pair {
  const mesh = new OurMesh([cart]);
  let started: Pair | undefined;
  const pair = (): Pair => {
    if (started === undefined) throw new Error('the pair did not start');
    return started;
  };
  beforeAll(async () => {
    started = await startPair(mesh, startProxy);
  }, 3 * minute);
  afterAll(() => mesh.close(), 2 * minute);

  describe.each(ways)('%s', (_, way, direction) => {
    it.each([
      ['up', bulk, 0],
      ['down', 0, bulk],
      ['both ways at once', bulk, bulk],
    ])(
      'carries 100 MB %s unchanged',
      async (_name, up, down) => expectWhole(pair()[way], up, down),
      4 * minute,
    );

    it.each<Order>(['client-first', 'server-first'])(
      'lets one direction end before the other begins: %s',
      async (order) => {
        const { parties, open } = pair()[way];
        const [only] = await exchange(parties, { ...open, up: 300_000, down: 200_000, order });
        expect(only && whole(only)).toEqual(wholeOf(300_000, 200_000));
      },
      2 * minute,
    );

    it(
      'carries 150 connections at once through a few tunnels',
      async () => {
        const { parties, open } = pair()[way];
        const sizes = { up: 20_000, down: 30_000, pauseMs: 2000 };
        const all = await exchange(parties, { ...open, ...sizes, connections: 150 });
        expect(all.map(whole)).toEqual(Array(150).fill(wholeOf(sizes.up, sizes.down)));
        const { connections } = await mesh.admin<StatusDocument>('/v1/status');
        const tunnels = direction === 'outbound' ? connections.tunnelsOut : connections.tunnelsIn;
        expect(tunnels).toBeGreaterThanOrEqual(1);
        expect(tunnels).toBeLessThanOrEqual(4);
      },
      3 * minute,
    );

    it('shows the identities of both certificates in "connections -o json"', () => {
      const ends = mesh
        .connections()
        .filter((connection) => connection.direction === direction && connection.outcome === 'completed')
        .map(({ path, source, destination }) => [path, source.identity, destination.identity]);
      const [from, to] = way === 'fromUs' ? (['web', 'cart'] as const) : (['cart', 'web'] as const);
      expect(ends.length).toBeGreaterThan(0);
      expect(new Set(ends.map(String))).toEqual(
        new Set([['tunnel', identities[from], identities[to]].map(String).join(',')]),
      );
    });
  });

  it('has its certificate from our authority', () => {
    const issued = mesh.authorityLog('main').filter(({ audit }) => audit === 'issued');
    expect(issued).toContainEqual(
      expect.objectContaining({ caller: 'workload/shop/cart', identity: identities.cart }),
    );
  });

  it(
    'carries 100 MB in each direction of a connection each way, all at once',
    async () => {
      await Promise.all([expectWhole(pair().fromUs, bulk, bulk), expectWhole(pair().fromThem, bulk, bulk)]);
    },
    4 * minute,
  );

  it(
    'is refused where our policy says so: its application sees a reset, ours sees nothing',
    async () => {
      const { parties, guarded } = pair().fromThem;
      const [only] = await exchange(parties, guarded);
      expect(only?.client).toMatchObject({ outcome: 'ECONNRESET', received: 0 });
      expect(only?.server).toBeUndefined();
      const denied = (await mesh.recent()).filter(({ outcome }) => outcome === 'denied');
      expect(denied).toContainEqual(
        expect.objectContaining({
          source: expect.objectContaining({ identity: identities.cart }),
          verdict: expect.objectContaining({ allowed: false, policy: 'shop/no-cart' }),
        }),
      );
    },
    2 * minute,
  );
  return pair;
}

/** To be the last test of a file: our node program stops at SIGTERM, finishing what it carries, and another takes over. */
export function drains(pair: () => Pair): void {
  it(
    'finishes what it carries when our node program is told to stop, and carries again after its restart',
    async () => {
      const { mesh, node, authority, fromUs, fromThem } = pair();
      const sizes = { up: 5_000_000, down: 5_000_000, pauseMs: 2500 };
      const living = [fromUs, fromThem].map(({ parties, open }) =>
        startExchange(parties, { ...open, ...sizes }),
      );
      await waitFor('both to be open', async () => {
        const { connections } = await mesh.admin<StatusDocument>('/v1/status');
        return connections.live === 2;
      });
      node.signal('SIGTERM');
      const finished = await Promise.all(living.map(({ finished: end }) => end()));
      expect(finished.flat().map(whole)).toEqual(Array(2).fill(wholeOf(sizes.up, sizes.down)));
      await node.ended();
      await mesh.startNode(authority, 'cluster.local');
      await expectWhole(fromUs, 1000, 1000);
      await expectWhole(fromThem, 1000, 1000);
    },
    4 * minute,
  );
}

async function expectWhole({ parties, open }: Way, up: number, down: number): Promise<void> {
  const [only] = await exchange(parties, { ...open, up, down });
  expect(only && whole(only)).toEqual(wholeOf(up, down));
}
