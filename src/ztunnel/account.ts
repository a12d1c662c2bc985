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
import type { MeshReader, MeshView } from '../model/view.ts';
import { denial } from './authorize.ts';
import { peerAt, settle, type Facts, type SettledFacts } from './facts.ts';
import type { ByteCounts, ConnectionObserver, EngineFailure, LiveControl, Route } from '../net/engine.ts';

/** Where records go: log, metrics, and the list of live connections. */
export interface Ledger {
  opened(connection: LiveConnection): void;
  completed(record: ConnectionRecord): void;
}

/** A connection in progress, for listing and for ending it. */
export interface LiveConnection {
  readonly id: ConnectionId;
  /** As of now, byte counts included. */
  summary(): ConnectionSummary;
  /** Ends it because this verdict no longer admits it; the verdict is the record's then. */
  revoke(verdict: Verdict): void;
  /** To judge it again when policies change. */
  readonly facts: SettledFacts;
  /** The version of the mesh it was decided on. */
  readonly meshVersion: number;
}

export interface AccountDeps {
  readonly mesh: MeshReader;
  readonly ledger: Ledger;
  readonly now: () => number;
}

const nothing: ByteCounts = { sent: 0, received: 0 };

/** The observer of one decided connection, and what others see of it: one object, as there may be ten thousands. */
export class Account implements ConnectionObserver, LiveConnection {
  readonly id: ConnectionId;
  readonly meshVersion: number;
  readonly #deps: AccountDeps;
  readonly #openedAt: number;
  /** Until a route answers: then the mesh it was decided on is not needed any more. */
  #unsettled: Facts | undefined;
  #facts: SettledFacts;
  #live: LiveControl | undefined;

  constructor(id: ConnectionId, facts: Facts, deps: AccountDeps) {
    this.id = id;
    this.meshVersion = facts.view.version;
    this.#deps = deps;
    this.#openedAt = deps.now();
    this.#unsettled = facts;
    this.#facts = settle(facts);
  }

  get facts(): SettledFacts {
    return this.#facts;
  }

  summary(): ConnectionSummary {
    return this.#summary(this.#live?.counts() ?? nothing);
  }

  revoke(verdict: Verdict): void {
    this.#facts = { ...this.#facts, verdict };
    this.#live?.close(denial(verdict, { late: true }));
  }

  established(route: Route, live: LiveControl): void {
    this.#settleOn(route);
    this.#unsettled = undefined;
    this.#live = live;
    this.#deps.ledger.opened(this);
  }

  routeFailed(route: Route): void {
    this.#settleOn(route);
  }

  routeSlow(): void {
    // Nothing to account for.
  }

  finished({
    counts,
    failure,
  }: {
    readonly counts: ByteCounts;
    readonly failure: EngineFailure | undefined;
  }): void {
    const { ledger, now } = this.#deps;
    const durationMs = Math.max(0, now() - this.#openedAt);
    ledger.completed({ ...this.#summary(counts), durationMs, error: failureOf(failure) });
  }

  #settleOn(route: Route): void {
    if (this.#unsettled !== undefined) {
      this.#facts = settleOn(this.#unsettled, route, this.#deps.mesh.view);
    }
  }

  #summary({ sent, received }: ByteCounts): ConnectionSummary {
    const { id } = this;
    return { ...this.#facts, id, openedAt: this.#openedAt, bytesSent: sent, bytesReceived: received };
  }
}

/** Facts narrowed to the route in use: the endpoint behind a Service is known only now. */
function settleOn(undecided: Facts, route: Route, current: MeshView): SettledFacts {
  const facts = settle(undecided);
  if (facts.direction === 'inbound') return facts;
  // A later choice is of a later mesh; and what has left the mesh since had a name when it was chosen.
  const now = peerAt(current, route.target);
  const peer = now.workload === undefined ? peerAt(undecided.view, route.target) : now;
  return route.type === 'hbone'
    ? {
        ...facts,
        path: 'tunnel',
        hboneAddress: route.via,
        destination: { ...peer, identity: peer.workload?.identity },
      }
    : { ...facts, path: 'direct', hboneAddress: undefined, destination: peer };
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
