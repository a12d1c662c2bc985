/**
 * One arrival from accept to finish: ask the decider, try the routes, carry the bytes, report once. Everything that can
 * end a connection ends it here, so that `finished` is told exactly once.
 */
import { asMeshError, MeshError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import type {
  Arrival,
  ByteCounts,
  ConnectionDecider,
  ConnectionObserver,
  Decision,
  EngineFailure,
  LiveControl,
  Route,
} from '../engine.ts';
import { type Answer, firstToAnswer } from './attempts.ts';
import type { ByteEnd, NearEnd } from './byte-end.ts';
import type { Departures } from './departures.ts';
import { Ending, type Wanted } from './ending.ts';
import { failureOf } from './hop-of.ts';
import { Relay, type RelayDeps, type RelayOwner } from './relay.ts';

export interface FlowDeps extends RelayDeps {
  readonly decider: ConnectionDecider;
  readonly log: Logger;
  readonly decisionTimeoutMs: number;
  readonly nextRouteAfterMs: number;
  readonly departures: Departures;
  /** @throws MeshError */
  readonly open: (arrival: Arrival, route: Route, wanted: Wanted) => Promise<ByteEnd>;
  /** The flow is over. */
  readonly over: (flow: Flow) => void;
}

type Forward = Extract<Decision, { type: 'forward' }>;

/** Those decided on at first, then whatever is chosen later. */
function routesOf({ routes, furtherRoute }: Forward): () => Route | undefined {
  let taken = 0;
  return () => (taken < routes.length ? routes[taken++] : furtherRoute?.());
}

const nothing: ByteCounts = { sent: 0, received: 0 };

/** What is needed only until bytes flow is not kept for longer: there may be ten thousands of flows. */
export class Flow implements LiveControl, RelayOwner {
  readonly #near: NearEnd;
  readonly #deps: FlowDeps;
  /** For when the connection ends before there is a relay to end. */
  #ending: Ending | undefined;
  #relay: Relay | undefined;
  /** Of the connection that is carried. */
  #observer: ConnectionObserver | undefined;

  /** @param deps may be shared by many flows. */
  constructor(near: NearEnd, deps: FlowDeps) {
    this.#near = near;
    this.#deps = deps;
  }

  get bufferedBytes(): number {
    return this.#relay?.bufferedBytes ?? this.#near.bufferedBytes;
  }

  start(arrival: Arrival): void {
    const ending = new Ending();
    this.#ending = ending;
    this.#near.attach({ ...ignoring, failed: (error) => ending.end(error) });
    this.#decide(arrival, ending).catch((error: unknown) => {
      this.#deps.log.error({ error }, 'a connection could not be served because of a bug');
      this.#near.refuse(asMeshError(error));
      this.#deps.over(this);
    });
  }

  counts(): ByteCounts {
    return this.#relay?.counts() ?? nothing;
  }

  /** Ends it now, whatever it is doing. */
  close(error: MeshError): void {
    if (this.#relay !== undefined) {
      this.#relay.abort(error);
      return;
    }
    this.#near.refuse(error);
    this.#ending?.end(error);
  }

  async #decide(arrival: Arrival, wanted: Wanted): Promise<void> {
    let decision: Decision;
    try {
      const answer = this.#deps.decider.decide(arrival);
      decision = answer instanceof Promise ? await this.#inTime(answer) : answer;
    } catch (thrown) {
      this.#reject(arrival, asMeshError(thrown, 'INTERNAL', 'deciding on a connection'));
      return;
    }
    if (wanted.endedBy !== undefined) this.#refuse(decision.observer, failureOf(wanted.endedBy));
    else if (decision.type === 'refuse') this.#refuse(decision.observer, decision);
    else await this.#forward(arrival, decision, wanted);
  }

  /** An answer that comes too late is dropped: the connection was rejected by then. */
  async #inTime(answer: Promise<Decision>): Promise<Decision> {
    const { clock, decisionTimeoutMs } = this.#deps;
    const late = Promise.withResolvers<never>();
    const cancel = clock.after(decisionTimeoutMs, () =>
      late.reject(new MeshError('TIMEOUT', 'nobody decided on the connection in time')),
    );
    try {
      return await Promise.race([answer, late.promise]);
    } finally {
      cancel();
    }
  }

  async #forward(arrival: Arrival, decision: Forward, wanted: Wanted): Promise<void> {
    try {
      const { route, end: far } = await this.#openFirst(arrival, decision, wanted);
      if (wanted.endedBy !== undefined) {
        far.reset(wanted.endedBy);
        this.#refuse(decision.observer, failureOf(wanted.endedBy));
        return;
      }
      this.#carry(decision, route, far);
    } catch (error) {
      this.#refuse(decision.observer, failureOf(asMeshError(error)));
    }
  }

  #openFirst(arrival: Arrival, decision: Forward, wanted: Wanted): Promise<Answer> {
    const { observer } = decision;
    const { clock, departures, nextRouteAfterMs } = this.#deps;
    const deps = {
      clock,
      departures,
      nextRouteAfterMs,
      open: (route: Route, ending: Wanted) => this.#deps.open(arrival, route, ending),
      failed: (route: Route, error: MeshError) =>
        this.#tell(() => observer.routeFailed(route, failureOf(error))),
      slow: (route: Route) => this.#tell(() => observer.routeSlow(route)),
    };
    return firstToAnswer(routesOf(decision), deps, wanted);
  }

  #carry({ observer, responseHeaders = [] }: Forward, route: Route, far: ByteEnd): void {
    const relay = new Relay(this.#near, far, this.#deps, this);
    this.#relay = relay;
    this.#observer = observer;
    this.#ending = undefined;
    this.#near.accept(responseHeaders);
    this.#tell(() => observer.established(route, this));
    relay.start();
  }

  /** The relay is over. */
  carried(error: MeshError | undefined): void {
    if (this.#observer !== undefined) this.#finish(this.#observer, this.counts(), error && failureOf(error));
  }

  #reject({ pod, client, local }: Arrival, error: MeshError): void {
    this.#near.refuse(error);
    this.#tell(() => this.#deps.decider.rejected({ pod, client, local }, failureOf(error)));
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
