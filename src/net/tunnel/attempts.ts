/**
 * From the routes of a connection to the first that answers, before any byte has moved. An attempt that fails is
 * followed by the next at once. One that is slow, or whose peer is leaving, goes on with the next beside it; one whose
 * peer is gone has failed.
 */
import type { Clock } from '../../base/clock.ts';
import { asMeshError, MeshError } from '../../base/errors.ts';
import { formatSocketAddress, type SocketAddress } from '../../base/ip.ts';
import type { Route } from '../engine.ts';
import type { ByteEnd } from './byte-end.ts';
import type { Departures } from './departures.ts';

export interface AttemptDeps {
  readonly clock: Clock;
  readonly departures: Departures;
  /** An attempt gets company after this. */
  readonly nextRouteAfterMs: number;
  /** @throws MeshError */
  readonly open: (route: Route, signal: AbortSignal) => Promise<ByteEnd>;
  readonly failed: (route: Route, error: MeshError) => void;
  readonly slow: (route: Route) => void;
}

export interface Answer {
  readonly route: Route;
  readonly end: ByteEnd;
}

/**
 * @param next the next route to try; undefined when there is none just now
 * @throws MeshError the failure of the attempt that failed last, or the signal's reason
 */
export function firstToAnswer(
  next: () => Route | undefined,
  deps: AttemptDeps,
  signal: AbortSignal,
): Promise<Answer> {
  const attempts = new Attempts(next, deps);
  const aborted = (): void => attempts.end(asMeshError(signal.reason));
  signal.addEventListener('abort', aborted);
  return attempts.run().finally(() => signal.removeEventListener('abort', aborted));
}

class Attempts {
  readonly #next: () => Route | undefined;
  readonly #deps: AttemptDeps;
  readonly #running = new Set<AbortController>();
  readonly #outcome = Promise.withResolvers<Answer>();
  #isOver = false;
  #failure: MeshError | undefined;

  constructor(next: () => Route | undefined, deps: AttemptDeps) {
    this.#next = next;
    this.#deps = deps;
  }

  run(): Promise<Answer> {
    this.#startNext();
    return this.#outcome.promise;
  }

  end(error: MeshError): void {
    this.#settle(error);
    this.#outcome.reject(error);
  }

  #startNext(): void {
    const route = this.#choose();
    if (route !== undefined) void this.#attempt(route);
    else if (this.#running.size === 0) {
      this.end(this.#failure ?? new MeshError('INTERNAL', 'a decision to forward named no route'));
    }
  }

  /** Whoever cannot choose chooses none. */
  #choose(): Route | undefined {
    try {
      return this.#next();
    } catch (thrown) {
      this.#failure = asMeshError(thrown, 'INTERNAL', 'choosing a route');
      return undefined;
    }
  }

  async #attempt(route: Route): Promise<void> {
    const ending = new AbortController();
    this.#running.add(ending);
    let hasCompany = false;
    const accompany = (): void => {
      if (hasCompany) return;
      hasCompany = true;
      this.#startNext();
    };
    const stopWatching = this.#watch(route, ending, accompany);
    try {
      const end = await this.#deps.open(route, ending.signal);
      this.#running.delete(ending);
      this.#answered({ route, end });
    } catch (thrown) {
      this.#running.delete(ending);
      if (!this.#isOver) this.#failed(route, asMeshError(thrown), hasCompany);
    } finally {
      stopWatching();
    }
  }

  #watch(route: Route, ending: AbortController, accompany: () => void): () => void {
    const { clock, departures, nextRouteAfterMs, slow } = this.#deps;
    const cancelTimer = clock.after(nextRouteAfterMs, () => {
      slow(route);
      accompany();
    });
    const peer = route.type === 'hbone' ? route.via : route.target;
    const forget = departures.listen(peer.ip, (departure) =>
      departure === 'gone' ? ending.abort(peerGone(peer)) : accompany(),
    );
    return () => {
      cancelTimer();
      forget();
    };
  }

  #answered(answer: Answer): void {
    const late = new MeshError('STREAM_RESET', 'another endpoint answered first');
    if (this.#isOver) return answer.end.reset(late);
    this.#settle(late);
    this.#outcome.resolve(answer);
  }

  #failed(route: Route, error: MeshError, hasCompany: boolean): void {
    this.#failure = error;
    this.#deps.failed(route, error);
    if (!hasCompany || this.#running.size === 0) this.#startNext();
  }

  /** Those that still run end with `error`, and nobody hears of it. */
  #settle(error: MeshError): void {
    this.#isOver = true;
    for (const ending of this.#running) ending.abort(error);
  }
}

/** For whoever waits for a connection to a peer that has left. */
export const peerGone = (peer: SocketAddress): MeshError =>
  new MeshError('DIAL_FAILED', `${formatSocketAddress(peer)} left the mesh before it answered`, {
    hint: 'the pod was deleted or lost its label; another endpoint is tried where there is one',
  });
