/**
 * Events about refused connections: one when a pair of source and destination is refused by a policy for the first time,
 * and the same one, counted, every few minutes while that goes on. A node writes few of them, whatever is thrown at it:
 * the log, the metrics and the list of connections have all of them.
 */
import type { Clock } from '../../base/clock.ts';
import { asMeshError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import type { ConnectionRecord } from '../../model/connection.ts';
import type { KubeClient } from '../client/kube-client.ts';
import { type EventText, tellEvent } from './cluster-event.ts';
import { denialEvent } from './denial-event.ts';
import type { ReportFailure } from './pod-reporter.ts';

export interface DenialReporterDeps {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
  /** Who tells. */
  readonly node: string;
  /** Hears of each Event that was due: whether it was written. */
  readonly counted: (result: 'written' | 'dropped') => void;
}

interface Pair {
  /** Undefined: never. */
  toldAt: number | undefined;
  /** Since then. */
  times: number;
}

const repeatAfterMs = 5 * 60_000;
/** 5 000 nodes under attack are 500 Events a second for all API servers, and in peace none. */
const budget = { burst: 20, everyMs: 10_000 };
/** Pairs told apart; the one that was refused longest ago is forgotten. */
const maxPairs = 1024;
const maxWaiting = 32;
const heldMs = 30_000;

export class DenialReporter {
  readonly #deps: DenialReporterDeps;
  /** By the Event's key, the latest refusal last. */
  readonly #pairs = new Map<string, Pair>();
  readonly #waiting: EventText[] = [];
  #tokens = budget.burst;
  #filledAt: number;
  #isBusy = false;
  #isStopped = false;
  #heldUntil = 0;
  #failure: ReportFailure | undefined;

  constructor(deps: DenialReporterDeps) {
    this.#deps = deps;
    this.#filledAt = deps.clock.now();
  }

  /** What keeps them from being written, while something does. */
  get failures(): readonly ReportFailure[] {
    return this.#failure === undefined ? [] : [this.#failure];
  }

  /** Returns at once; anything but a refusal by policy is passed over. */
  completed(record: ConnectionRecord): void {
    if (this.#isStopped || record.error?.code !== 'POLICY_DENIED') return;
    const text = denialEvent(record);
    if (text !== undefined && this.#isDue(text.key)) this.#take(text);
  }

  stop(): void {
    this.#isStopped = true;
    this.#waiting.length = 0;
  }

  #isDue(key: string): boolean {
    const pair = this.#pairs.get(key) ?? { toldAt: undefined, times: 0 };
    this.#pairs.delete(key);
    this.#pairs.set(key, pair);
    const [oldest] = this.#pairs.keys();
    if (this.#pairs.size > maxPairs && oldest !== undefined) this.#pairs.delete(oldest);
    pair.times += 1;
    return pair.toldAt === undefined || this.#deps.clock.now() - pair.toldAt >= repeatAfterMs;
  }

  #take(text: EventText): void {
    const { clock, counted } = this.#deps;
    if (clock.now() < this.#heldUntil || this.#waiting.length >= maxWaiting || !this.#spend()) {
      return counted('dropped');
    }
    const pair = this.#pairs.get(text.key);
    if (pair !== undefined) pair.toldAt = clock.now();
    this.#waiting.push(text);
    void this.#workOff();
  }

  #spend(): boolean {
    const earned = Math.floor((this.#deps.clock.now() - this.#filledAt) / budget.everyMs);
    this.#filledAt += earned * budget.everyMs;
    this.#tokens = Math.min(budget.burst, this.#tokens + earned);
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }

  async #workOff(): Promise<void> {
    if (this.#isBusy) return;
    this.#isBusy = true;
    for (let text = this.#waiting.shift(); text !== undefined; text = this.#waiting.shift()) {
      await this.#tell(text);
    }
    this.#isBusy = false;
  }

  async #tell(text: EventText): Promise<void> {
    const { client, clock, node, counted, log } = this.#deps;
    const pair = this.#pairs.get(text.key);
    const times = Math.max(1, pair?.times ?? 1);
    try {
      await tellEvent(client, text, { node, now: clock.now(), times });
      if (pair !== undefined) pair.times -= times;
      this.#failure = undefined;
      counted('written');
    } catch (thrown) {
      const error = asMeshError(thrown);
      counted('dropped');
      // The namespace is about to go.
      if (error.code === 'NOT_FOUND') return;
      // Told with the next refusal after a while; the log has it.
      if (pair !== undefined) pair.toldAt = undefined;
      if (this.#failure === undefined) {
        log.warn({ code: error.code, hint: error.hint }, `no Event of refused connections: ${error.message}`);
      }
      this.#failure = { error, since: this.#failure?.since ?? clock.now() };
      this.#heldUntil = clock.now() + heldMs;
    }
  }
}
