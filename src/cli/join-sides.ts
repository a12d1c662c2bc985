/**
 * A tunnelled connection is told twice, by the ztunnel of its source and by that of its destination, under one trace
 * id. For people they are one line: what the source asked for, and the outcome from whoever knows more about it.
 */
import type { ConnectionRow } from './connection-columns.ts';

export function joinSides(rows: readonly ConnectionRow[]): readonly ConnectionRow[] {
  const inbound = Map.groupBy(
    rows.filter(({ direction, traceId }) => direction === 'inbound' && traceId !== null),
    ({ traceId }) => traceId,
  );
  const joined = new Set<ConnectionRow>();
  const lines = rows.map((row) => {
    // Of several attempts at endpoints the last is the one that counted.
    const other =
      row.direction === 'outbound' && row.traceId !== null ? inbound.get(row.traceId)?.at(-1) : undefined;
    if (other === undefined) return row;
    for (const attempt of inbound.get(row.traceId) ?? []) joined.add(attempt);
    return join(row, other);
  });
  return lines.filter((row) => !joined.has(row));
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
