/**
 * Between two nodes, each end's ztunnel tells its side of a connection. Within a node there is one ztunnel, or none, and
 * one story, the destination's: the source's is told after it, so that nobody who counts or searches has to know.
 */
import type { ConnectionId, ConnectionSummary } from '../model/connection.ts';
import type { Ledger } from './account.ts';

export const bothSides = (ledger: Ledger, nextId: () => ConnectionId): Ledger => ({
  opened: (connection) => ledger.opened(connection),
  completed(record) {
    ledger.completed(record);
    if (isWithinNode(record)) ledger.completed(sourceSideOf(record, nextId()));
  },
});

/** The same of connections that are open, whose id on the source's side follows from that on the destination's. */
export const liveOnBothSides = (live: readonly ConnectionSummary[]): readonly ConnectionSummary[] =>
  live.flatMap((connection) =>
    isWithinNode(connection)
      ? [connection, sourceSideOf(connection, `${connection.id}-source` as ConnectionId)]
      : connection,
  );

const isWithinNode = ({ path, direction }: ConnectionSummary): boolean =>
  direction === 'inbound' && (path === 'local' || path === 'kernel');

/** The verdict is the destination's; the source knows only what became of its connection. */
const sourceSideOf = <Told extends ConnectionSummary>(told: Told, id: ConnectionId): Told => ({
  ...told,
  id,
  direction: 'outbound',
  verdict: undefined,
});

/** Short ids of their own, `k-0`, `k-1`, … in base 36. */
export function kernelIds(first: number): () => ConnectionId {
  let next = first;
  return () => `k-${(next++).toString(36)}` as ConnectionId;
}
