/**
 * A tunnelled connection is told twice, by the ztunnel of its source and by that of its destination, under one trace
 * id; so is one within a node. For people they are one line: what the source asked for, and the outcome from whoever
 * knows more about it.
 */
import type { ConnectionRow } from './connection-columns.ts';

export function joinSides(rows: readonly ConnectionRow[]): readonly ConnectionRow[] {
  const inbound = Map.groupBy(
    rows.filter((row) => row.direction === 'inbound' && sharedId(row) !== null),
    sharedId,
  );
  const joined = new Set<ConnectionRow>();
  const lines = rows.map((row) => {
    const attempts = row.direction === 'outbound' ? (inbound.get(sharedId(row)) ?? []) : [];
    // Of several attempts at endpoints the last is the one that counted.
    const other = attempts.at(-1);
    if (other === undefined) return row;
    for (const attempt of attempts) joined.add(attempt);
    return join(row, other);
  });
  return lines.filter((row) => !joined.has(row));
}

/** What both sides have in common, and nobody else: of an open one in the kernel, which has no trace id, its two sockets. */
function sharedId({ traceId, path, durationMs, node, source, destination }: ConnectionRow): string | null {
  if (traceId !== null || path !== 'kernel' || durationMs !== null) return traceId;
  return [node, source.address, destination.address].join(' ');
}

/** The destination's ztunnel is nearer to the application and to the policy: its failure explains the source's. */
function join(source: ConnectionRow, destination: ConnectionRow): ConnectionRow {
  const explains = destination.outcome === 'denied' || destination.outcome === 'failed';
  const { outcome, error, verdict } = explains ? destination : source;
  return {
    ...source,
    destination: destination.destination,
    outcome,
    error,
    verdict: verdict ?? destination.verdict,
    seenBy: 'both',
  };
}
