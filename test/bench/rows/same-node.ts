/**
 * Two pods of one node: what the kernel path costs over no mesh, beside HBONE. Once a pair is admitted, only the hooks
 * at connect() and at the lookup of the listener are in the way; the node program reads how each connection ended.
 */
import { bulkRow } from './bulk.ts';
import type { Row } from './row.ts';
import { roundTripRow, shortRow } from './small.ts';

const all = ['node-none', 'node-kernel', 'node-hbone'] as const;
/** What could depend on how large the mesh is. */
const withLarge = [...all, 'node-large'] as const;
/** What goes from socket to socket, if pods ask for it. */
const withAccelerated = [...all, 'node-accelerated'] as const;

const within = (row: Row, variants: Row['variants'] & {} = all): Row => ({
  ...row,
  id: `node-${row.id}`,
  variants,
  scope: 'node',
});

const connectRow: Row = {
  id: 'connect',
  title: 'connect()',
  metrics: [{ id: 'p50', unit: 'p50 µs', digits: 2 }],
  turns: 5,
  async measure({ client, host }, { load, seconds, signal }) {
    const { p50 } = await load.run(client, { mode: 'connect', host, connections: 1, seconds }, signal);
    return { p50 };
  },
};

/** To each of the servers' ports one connection, as a verdict is for one port. */
const firstRow: Row = {
  id: 'first',
  title: 'first connection of a pair, 64 bytes there and back',
  metrics: [
    { id: 'p50', unit: 'p50 µs', digits: 0 },
    { id: 'p99', unit: 'p99 µs', digits: 0 },
  ],
  turns: 3,
  async measure({ client, host, forget }, { load, signal }) {
    await forget?.(signal);
    const { p50, p99 } = await load.run(client, { mode: 'first', host, connections: 1, seconds: 0 }, signal);
    return { p50, p99 };
  },
};

/** Small differences through a drifting machine want short turns; iperf3 counts whole seconds. */
const turns = 3;
const inTurns = (row: Row): Row => ({
  ...row,
  turns,
  measure: async (variant, context) =>
    await row.measure(variant, { ...context, seconds: Math.max(1, Math.round(context.seconds)) }),
});

export const sameNodeRows: readonly Row[] = [
  within(firstRow, withLarge),
  within(connectRow, withLarge),
  within(shortRow(1), withLarge),
  within(shortRow(8), withLarge),
  within(inTurns(roundTripRow(1)), withAccelerated),
  within(inTurns(bulkRow('up', 1)), withAccelerated),
  within(inTurns(bulkRow('up', 8)), withAccelerated),
];
