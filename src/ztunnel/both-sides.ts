/**
 * Between two nodes, each end's ztunnel tells its side of a connection. Within a node there is one ztunnel, or none, and
 * one story, the destination's: the source's is told after it, so that nobody who counts or searches has to know.
 */
import type { ConnectionId, ConnectionRecord } from '../model/connection.ts';
import type { Ledger } from './account.ts';

export const bothSides = (ledger: Ledger, nextId: () => ConnectionId): Ledger => ({
  opened: (connection) => ledger.opened(connection),
  completed(record) {
    ledger.completed(record);
    if (isWithinNode(record)) ledger.completed(sourceSideOf(record, nextId()));
  },
});

const isWithinNode = ({ path, direction }: ConnectionRecord): boolean =>
  direction === 'inbound' && (path === 'local' || path === 'kernel');

/** The verdict is the destination's; the source knows only what became of its connection. */
const sourceSideOf = (record: ConnectionRecord, id: ConnectionId): ConnectionRecord => ({
  ...record,
  id,
  direction: 'outbound',
  verdict: undefined,
});

/** Short ids of their own, `k-0`, `k-1`, … in base 36. */
export function kernelIds(first: number): () => ConnectionId {
  let next = first;
  return () => `k-${(next++).toString(36)}` as ConnectionId;
}
