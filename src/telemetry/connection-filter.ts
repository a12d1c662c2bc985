/** Which connections somebody asks about: pure predicates over summaries and records, for the registry's queries. */
import type {
  ConnectionPath,
  ConnectionPeer,
  ConnectionRecord,
  ConnectionSummary,
} from '../model/connection.ts';
import { outcomeOf } from './outcome.ts';

/** All given conditions must hold. */
export interface ConnectionFilter {
  /** Namespace of either side. */
  readonly namespace?: string;
  /** Name of the pod on either side, or of its owner (`web` finds every pod of that Deployment). */
  readonly pod?: string;
  /** Only those that failed or were denied. Live connections match neither. */
  readonly failed?: boolean;
  /** Only those that went this way. */
  readonly path?: ConnectionPath;
  /** Only those refused by a policy. */
  readonly denied?: boolean;
  /** Those with this id or trace id, or one that begins so. */
  readonly id?: string;
  /** Only those that policies in dry run would refuse. */
  readonly dryRunDenied?: boolean;
  /** Only those that were open at or after this time, milliseconds since the epoch. */
  readonly since?: number;
}

export function matches(connection: ConnectionSummary | ConnectionRecord, filter: ConnectionFilter): boolean {
  return (
    named(connection, filter) &&
    eitherSide(connection, filter) &&
    outcomeMatches(connection, filter) &&
    rehearsalMatches(connection, filter) &&
    (filter.path === undefined || connection.path === filter.path) &&
    recentEnough(connection, filter)
  );
}

const named = ({ id, traceId }: ConnectionSummary, { id: wanted }: ConnectionFilter): boolean =>
  wanted === undefined || id.startsWith(wanted) || traceId?.startsWith(wanted) === true;

/** Namespace and pod must hold for the same side: `web` in `shop`, not `web` talking to `shop`. */
function eitherSide(connection: ConnectionSummary, filter: ConnectionFilter): boolean {
  if (filter.namespace === undefined && filter.pod === undefined) return true;
  return [connection.source, connection.destination].some((peer) => peerMatches(peer, filter));
}

function peerMatches({ workload }: ConnectionPeer, { namespace, pod }: ConnectionFilter): boolean {
  if (workload === undefined) return false;
  if (namespace !== undefined && workload.namespace !== namespace) return false;
  return pod === undefined || workload.name === pod || workload.owner.name === pod;
}

function outcomeMatches(connection: ConnectionSummary | ConnectionRecord, filter: ConnectionFilter): boolean {
  if (filter.failed !== true && filter.denied !== true) return true;
  if (!isRecord(connection)) return false;
  const outcome = outcomeOf(connection);
  return outcome === 'denied' || (outcome === 'failed' && filter.denied !== true);
}

const rehearsalMatches = ({ verdict }: ConnectionSummary, { dryRunDenied }: ConnectionFilter): boolean =>
  dryRunDenied !== true || verdict?.dryRun?.allowed === false;

function recentEnough(
  connection: ConnectionSummary | ConnectionRecord,
  { since }: ConnectionFilter,
): boolean {
  return since === undefined || !isRecord(connection) || endOf(connection) >= since;
}

const endOf = (record: ConnectionRecord): number => record.openedAt + record.durationMs;

const isRecord = (connection: ConnectionSummary | ConnectionRecord): connection is ConnectionRecord =>
  'durationMs' in connection;
