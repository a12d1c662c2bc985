/**
 * One arrival from accept to finish: ask the decider, try the routes, carry the bytes, report once. Everything that can
 * end a connection ends it here, so that `finished` is told exactly once.
 */
import type { Clock } from '../../base/clock.ts';
import { asMeshError, MeshError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import type {
  Arrival,
  ByteCounts,
  ConnectionDecider,
  ConnectionObserver,
  Decision,
  EngineFailure,
  Route,
} from '../engine.ts';
import type { ByteEnd, NearEnd } from './byte-end.ts';
import { failureOf } from './hop-of.ts';
import { Relay } from './relay.ts';

export interface FlowDeps {
  readonly decider: ConnectionDecider;
  readonly clock: Clock;
  readonly log: Logger;
  readonly halfCloseLingerMs: number;
  /** @throws MeshError */
  readonly open: (route: Route, signal: AbortSignal) => Promise<ByteEnd>;
  /** The flow is over. */
  readonly over: (flow: Flow) => void;
}

type Forward = Extract<Decision, { type: 'forward' }>;

const nothing: ByteCounts = { sent: 0, received: 0 };

export class Flow {
  readonly #arrival: Arrival;
  readonly #near: NearEnd;
  readonly #deps: FlowDeps;
  /** Fires when the connection ends before there is a relay to end. */
  readonly #ending = new AbortController();
  #relay: Relay | undefined;

  constructor(arrival: Arrival, near: NearEnd, deps: FlowDeps) {
    this.#arrival = arrival;
    this.#near = near;
    this.#deps = deps;
  }

  get bufferedBytes(): number {
    return this.#relay?.bufferedBytes ?? this.#near.bufferedBytes;
  }

  start(): void {
    this.#near.attach({ ...ignoring, failed: (error) => this.#ending.abort(error) });
    this.#decide().catch((error: unknown) => {
      this.#deps.log.error({ error }, 'a connection could not be served because of a bug');
      this.#near.refuse(asMeshError(error));
      this.#deps.over(this);
    });
  }

  /** Ends it now, whatever it is doing. */
  close(error: MeshError): void {
    if (this.#relay !== undefined) {
      this.#relay.abort(error);
      return;
    }
    this.#near.refuse(error);
    this.#ending.abort(error);
  }

  async #decide(): Promise<void> {
    let decision: Decision;
    try {
      decision = await this.#deps.decider.decide(this.#arrival);
    } catch (thrown) {
      this.#reject(asMeshError(thrown, 'INTERNAL', 'deciding on a connection'));
      return;
    }
    const { signal } = this.#ending;
    if (signal.aborted) this.#refuse(decision.observer, failureOf(asMeshError(signal.reason)));
    else if (decision.type === 'refuse') this.#refuse(decision.observer, decision);
    else await this.#forward(decision);
  }

  async #forward(decision: Forward): Promise<void> {
    const { signal } = this.#ending;
    try {
      const [route, far] = await this.#openFirst(decision, signal);
      if (signal.aborted) {
        far.reset(asMeshError(signal.reason));
        this.#refuse(decision.observer, failureOf(asMeshError(signal.reason)));
        return;
      }
      this.#carry(decision, route, far);
    } catch (error) {
      this.#refuse(decision.observer, failureOf(asMeshError(error)));
    }
  }

  async #openFirst(decision: Forward, signal: AbortSignal): Promise<[Route, ByteEnd]> {
    let failure = new MeshError('INTERNAL', 'a decision to forward named no route');
    for (const [i, route] of decision.routes.entries()) {
      try {
        return [route, await this.#deps.open(route, signal)];
      } catch (thrown) {
        failure = asMeshError(thrown);
        if (signal.aborted) break;
        if (i + 1 < decision.routes.length) {
          this.#tell(() => decision.observer.routeFailed(route, failureOf(failure)));
        }
      }
    }
    throw failure;
  }

  #carry(decision: Forward, route: Route, far: ByteEnd): void {
    const { clock, halfCloseLingerMs } = this.#deps;
    const relay = new Relay(this.#near, far, {
      clock,
      halfCloseLingerMs,
      done: (error) => this.#finish(decision.observer, relay.counts(), error && failureOf(error)),
    });
    this.#relay = relay;
    this.#near.accept(decision.responseHeaders ?? []);
    this.#tell(() =>
      decision.observer.established(route, {
        counts: () => relay.counts(),
        close: (error) => this.close(error),
      }),
    );
    relay.start();
  }

  #reject(error: MeshError): void {
    this.#near.refuse(error);
    const { pod, client } = this.#arrival;
    this.#tell(() => this.#deps.decider.rejected({ pod, client }, failureOf(error)));
    this.#deps.over(this);
  }

  #refuse(observer: ConnectionObserver, { hop, error }: EngineFailure): void {
    this.#near.refuse(error);
    this.#finish(observer, nothing, { hop, error });
  }

  #finish(observer: ConnectionObserver, counts: ByteCounts, failure: EngineFailure | undefined): void {
    this.#tell(() => observer.finished({ counts, failure }));
    this.#deps.over(this);
  }

  /** What an observer throws must not harm the connection. */
  #tell(report: () => void): void {
    try {
      report();
    } catch (error) {
      this.#deps.log.error({ error }, 'an observer of connections failed');
    }
  }
}

const ignoring = { data() {}, ended() {}, writable() {}, finished() {} } as const;
