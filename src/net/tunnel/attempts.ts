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
import { Ending, type Wanted } from './ending.ts';

export interface AttemptDeps {
  readonly clock: Clock;
  readonly departures: Departures;
  /** An attempt gets company after this. */
  readonly nextRouteAfterMs: number;
  /** @throws MeshError */
  readonly open: (route: Route, wanted: Wanted) => Promise<ByteEnd>;
  readonly failed: (route: Route, error: MeshError) => void;
  readonly slow: (route: Route) => void;
}

export interface Answer {
  readonly route: Route;
  readonly end: ByteEnd;
}

/**
 * @param next the next route to try; undefined when there is none just now
 * @throws MeshError the failure of the attempt that failed last, or why it is not wanted any more
 */
export function firstToAnswer(
  next: () => Route | undefined,
  deps: AttemptDeps,
  wanted: Wanted,
): Promise<Answer> {
  return new Attempts(next, deps, wanted).run();
}

class Attempts {
  readonly #next: () => Route | undefined;
  readonly #deps: AttemptDeps;
  readonly #wanted: Wanted;
  readonly #running = new Set<Ending>();
  readonly #outcome = Promise.withResolvers<Answer>();
  #isOver = false;
  #failure: MeshError | undefined;

  constructor(next: () => Route | undefined, deps: AttemptDeps, wanted: Wanted) {
    this.#next = next;
    this.#deps = deps;
    this.#wanted = wanted;
    wanted.listen(this.#end);
  }

  run(): Promise<Answer> {
    this.#startNext();
    return this.#outcome.promise;
  }

  readonly #end = (error: MeshError): void => {
    this.#settle(error);
    this.#outcome.reject(error);
  };

  #startNext(): void {
    const route = this.#choose();
    if (route !== undefined) void this.#attempt(route);
    else if (this.#running.size === 0) {
      this.#end(this.#failure ?? new MeshError('INTERNAL', 'a decision to forward named no route'));
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
    const ending = new Ending();
    this.#running.add(ending);
    let hasCompany = false;
    const accompany = (): void => {
      if (hasCompany) return;
      hasCompany = true;
      this.#startNext();
    };
    const stopWatching = this.#watch(route, ending, accompany);
    try {
      const end = await this.#deps.open(route, ending);
      this.#running.delete(ending);
      this.#answered({ route, end });
    } catch (thrown) {
      this.#running.delete(ending);
      if (!this.#isOver) this.#failed(route, asMeshError(thrown), hasCompany);
    } finally {
      stopWatching();
    }
  }

  #watch(route: Route, ending: Ending, accompany: () => void): () => void {
    const { clock, departures, nextRouteAfterMs, slow } = this.#deps;
    const cancelTimer = clock.after(nextRouteAfterMs, () => {
      slow(route);
      accompany();
    });
    const peer = route.type === 'hbone' ? route.via : route.target;
    const forget = departures.listen(peer.ip, (departure) =>
      departure === 'gone' ? ending.end(peerGone(peer)) : accompany(),
    );
    return () => {
      cancelTimer();
      forget();
    };
  }

  #answered(answer: Answer): void {
    if (this.#isOver) return answer.end.reset(tooLate());
    this.#settle(tooLate);
    this.#outcome.resolve(answer);
  }

  #failed(route: Route, error: MeshError, hasCompany: boolean): void {
    this.#failure = error;
    this.#deps.failed(route, error);
    if (!hasCompany || this.#running.size === 0) this.#startNext();
  }

  /** Those that still run end with `error`, and nobody hears of it. */
  #settle(error: MeshError | (() => MeshError)): void {
    this.#isOver = true;
    this.#wanted.forget(this.#end);
    if (this.#running.size === 0) return;
    // An error has a stack trace, which costs more than the rest of this: one is made only where somebody hears of it.
    const reason = typeof error === 'function' ? error() : error;
    for (const ending of this.#running) ending.end(reason);
  }
}

const tooLate = (): MeshError => new MeshError('STREAM_RESET', 'another endpoint answered first');

/** For whoever waits for a connection to a peer that has left. */
export const peerGone = (peer: SocketAddress): MeshError =>
  new MeshError('DIAL_FAILED', `${formatSocketAddress(peer)} left the mesh before it answered`, {
    hint: 'the pod was deleted or lost its label; another endpoint is tried where there is one',
  });
