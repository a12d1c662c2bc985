/**
 * Between two nodes, each end's ztunnel tells its side of a connection. Within a node there is one ztunnel, or none, and
 * one story, the destination's: the source's is told after it, so that nobody who counts or searches has to know.
 */
import type {
  ConnectionFacts,
  ConnectionId,
  ConnectionRecord,
  ConnectionSummary,
} from '../model/connection.ts';
import type { Ledger, LiveConnection } from './account.ts';

/** Who is told of both sides. */
export interface SidesLedger {
  opened(connection: Pick<LiveConnection, 'id' | 'summary'>): void;
  completed(record: ConnectionRecord): void;
}

export function bothSides(ledger: SidesLedger, nextId: () => ConnectionId): Ledger {
  /** Of open ones: the id on the source's side, by that on the destination's. */
  const sourceIds = new Map<ConnectionId, ConnectionId>();
  return {
    opened(connection) {
      ledger.opened(connection);
      if (!isWithinNode(connection.facts)) return;
      const id = nextId();
      sourceIds.set(connection.id, id);
      ledger.opened({ id, summary: () => sourceSideOf(connection.summary(), id) });
    },
    completed(record) {
      ledger.completed(record);
      if (!isWithinNode(record)) return;
      const id = sourceIds.get(record.id) ?? nextId();
      sourceIds.delete(record.id);
      ledger.completed(sourceSideOf(record, id));
    },
  };
}

/**
 * The same of open connections that the kernel carries, which nobody saw opening: their id on the source's side follows from
 * that on the destination's.
 */
export const liveOnBothSides = (live: readonly ConnectionSummary[]): readonly ConnectionSummary[] =>
  live.flatMap((connection) =>
    isWithinNode(connection)
      ? [connection, sourceSideOf(connection, `${connection.id}-source` as ConnectionId)]
      : connection,
  );

const isWithinNode = ({ path, direction }: Pick<ConnectionFacts, 'path' | 'direction'>): boolean =>
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
