/**
 * Turns the engine's story of one connection into one record. Opened with the decision, completed exactly once.
 */
import type {
  ConnectionFacts,
  ConnectionFailure,
  ConnectionId,
  ConnectionRecord,
  ConnectionSummary,
  Verdict,
} from '../model/connection.ts';
import { denial } from './authorize.ts';
import { peerAt, settle, type Facts, type SettledFacts } from './facts.ts';
import type { ByteCounts, ConnectionObserver, EngineFailure, Route } from '../net/engine.ts';

/** Where records go: log, metrics, and the list of live connections. */
export interface Ledger {
  opened(connection: LiveConnection): void;
  completed(record: ConnectionRecord): void;
}

/** A connection in progress, for listing and for ending it. */
export interface LiveConnection {
  readonly id: ConnectionId;
  /** As of now, byte counts included. */
  readonly summary: () => ConnectionSummary;
  /** Ends it because this verdict no longer admits it; the verdict is the record's then. */
  readonly revoke: (verdict: Verdict) => void;
  /** To judge it again when policies change. */
  readonly facts: SettledFacts;
  /** The version of the mesh it was decided on. */
  readonly meshVersion: number;
}

export interface AccountDeps {
  readonly ledger: Ledger;
  readonly now: () => number;
}

const nothing = (): ByteCounts => ({ sent: 0, received: 0 });

/** The observer of one decided connection. */
export function accountFor(id: ConnectionId, facts: Facts, { ledger, now }: AccountDeps): ConnectionObserver {
  const openedAt = now();
  let unsettled: Facts | undefined = facts;
  let settled = settle(facts);
  const meshVersion = facts.view.version;
  let counts = nothing;
  const summary = (): ConnectionSummary => summaryOf(id, settled, openedAt, counts());
  return {
    established(route, live) {
      if (unsettled !== undefined) settled = settleOn(unsettled, route);
      unsettled = undefined;
      counts = live.counts;
      const revoke = (verdict: Verdict): void => {
        settled = { ...settled, verdict };
        live.close(denial(verdict, { late: true }));
      };
      ledger.opened({ id, facts: settled, meshVersion, summary, revoke });
    },
    routeFailed(route) {
      if (unsettled !== undefined) settled = settleOn(unsettled, route);
    },
    finished(outcome) {
      counts = () => outcome.counts;
      const error = failureOf(outcome.failure);
      ledger.completed({ ...summary(), durationMs: Math.max(0, now() - openedAt), error });
    },
  };
}

/** Facts narrowed to the route in use: the endpoint behind a Service is known only now. */
function settleOn(undecided: Facts, route: Route): SettledFacts {
  const facts = settle(undecided);
  if (facts.direction === 'inbound') return facts;
  const peer = peerAt(undecided.view, route.target);
  return route.type === 'hbone'
    ? {
        ...facts,
        path: 'tunnel',
        hboneAddress: route.via,
        destination: { ...peer, identity: peer.workload?.identity },
      }
    : { ...facts, path: 'direct', hboneAddress: undefined, destination: peer };
}

function summaryOf(
  id: ConnectionId,
  facts: SettledFacts,
  openedAt: number,
  counts: ByteCounts,
): ConnectionSummary {
  // Named one by one: this runs for every connection.
  return {
    id,
    direction: facts.direction,
    path: facts.path,
    source: facts.source,
    destination: facts.destination,
    originalDestination: facts.originalDestination,
    hboneAddress: facts.hboneAddress,
    service: facts.service,
    verdict: facts.verdict,
    traceId: facts.traceId,
    openedAt,
    bytesSent: counts.sent,
    bytesReceived: counts.received,
  };
}

const failureOf = (failure: EngineFailure | undefined): ConnectionFailure | undefined =>
  failure === undefined
    ? undefined
    : {
        code: failure.error.code,
        hop: failure.hop,
        message: failure.error.message,
        hint: failure.error.hint,
      };

/** The record of a connection that ended before anything about it could be decided. */
export function rejectedRecord(
  id: ConnectionId,
  facts: ConnectionFacts,
  failure: EngineFailure,
  now: number,
): ConnectionRecord {
  return {
    ...facts,
    id,
    openedAt: now,
    bytesSent: 0,
    bytesReceived: 0,
    durationMs: 0,
    error: failureOf(failure),
  };
}
