/**
 * Endpoints that failed a connection just now. They are avoided for a while, which is only a preference: when all are
 * suspect, all are tried (`endpoints.ts`). What a node knows it knows from its own connections.
 */
import type { ErrorCode, MeshError } from '../base/errors.ts';
import type { IpAddress } from '../base/ip.ts';
import type { ConnectionObserver, EngineFailure, LiveControl, Route } from '../net/engine.ts';

/** Long enough to outlive the news of a pod's end, short enough that nobody misses it when it is back. */
const suspectForMs = 10_000;
/** The newest count. */
const maxSuspects = 4096;

export class Suspects {
  readonly #now: () => number;
  /** Until when, the first to be cleared first. */
  readonly #until = new Map<IpAddress, number>();

  /** @param now milliseconds */
  constructor(now: () => number) {
    this.#now = now;
  }

  has(ip: IpAddress): boolean {
    if (this.#until.size === 0) return false;
    const until = this.#until.get(ip);
    if (until === undefined) return false;
    if (until > this.#now()) return true;
    this.#until.delete(ip);
    return false;
  }

  add(ip: IpAddress): void {
    this.#until.delete(ip);
    this.#until.set(ip, this.#now() + suspectForMs);
    const [oldest] = this.#until.keys();
    if (this.#until.size > maxSuspects && oldest !== undefined) this.#until.delete(oldest);
  }

  clear(ip: IpAddress): void {
    this.#until.delete(ip);
  }
}

/** Told of routes that cost a connection time, whatever became of it. */
export interface RouteTroubles {
  failed(code: ErrorCode): void;
  slow(): void;
}

/** What is shared by all connections that learn. */
export interface LearningDeps {
  readonly suspects: Suspects;
  readonly troubles: RouteTroubles;
}

/** Learns from what becomes of the routes, and passes everything on. */
export class Learning implements ConnectionObserver {
  readonly #deps: LearningDeps;
  readonly #observer: ConnectionObserver;

  constructor(deps: LearningDeps, observer: ConnectionObserver) {
    this.#deps = deps;
    this.#observer = observer;
  }

  established(route: Route, live: LiveControl): void {
    this.#deps.suspects.clear(route.target.ip);
    this.#observer.established(route, live);
  }

  routeFailed(route: Route, failure: EngineFailure): void {
    if (isEndpointsFault(failure.error)) this.#deps.suspects.add(route.target.ip);
    this.#deps.troubles.failed(failure.error.code);
    this.#observer.routeFailed(route, failure);
  }

  routeSlow(route: Route): void {
    this.#deps.suspects.add(route.target.ip);
    this.#deps.troubles.slow();
    this.#observer.routeSlow(route);
  }

  finished(outcome: Parameters<ConnectionObserver['finished']>[0]): void {
    this.#observer.finished(outcome);
  }
}

/** Not the node’s own lack of a certificate or a socket, and not a policy: those say nothing about the endpoint. */
function isEndpointsFault({ code, details }: MeshError): boolean {
  switch (code) {
    case 'DIAL_FAILED':
    case 'TLS_FAILED':
    case 'PEER_IDENTITY':
    case 'PEER_GONE':
    case 'STREAM_RESET':
    case 'H2_PROTOCOL':
      return true;
    case 'CONNECT_REFUSED':
      return details['status'] === '503';
    default:
      return false;
  }
}
