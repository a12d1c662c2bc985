/**
 * Runs one job at a time for each key, and once more if the key was marked while its job ran: reconciliation of many
 * independent things without two operations on the same one. Failures are retried with growing delays.
 */
import type { Clock } from '../base/clock.ts';
import { MeshError } from '../base/errors.ts';

export interface KeyedWorkerOptions<K> {
  /** Brings `key` to its desired state; a rejection is reported and retried. */
  readonly reconcile: (key: K) => Promise<void>;
  readonly failed: (key: K, error: unknown, attempt: number) => void;
  readonly clock: Clock;
  /** Milliseconds before the first retry; doubles up to `maxDelayMs`. */
  readonly firstDelayMs: number;
  readonly maxDelayMs: number;
}

interface State {
  running: boolean;
  marked: boolean;
  attempts: number;
  cancelRetry: (() => void) | undefined;
  /** Who waits for the outcome of the next attempt. */
  waiting: PromiseWithResolvers<void>[];
}

export class KeyedWorker<K> {
  readonly #options: KeyedWorkerOptions<K>;
  /** Keys with work under way or a retry pending; idle keys are not kept. */
  readonly #states = new Map<K, State>();
  readonly #idle: (() => void)[] = [];
  #running = 0;
  #stopped = false;

  constructor(options: KeyedWorkerOptions<K>) {
    this.#options = options;
  }

  /** Asks for a reconciliation of `key`, now or right after the one that runs. */
  mark(key: K): void {
    if (!this.#stopped) this.#start(key, this.#stateOf(key));
  }

  /** The same, and settles as that reconciliation does; one that fails is retried all the same. */
  run(key: K): Promise<void> {
    if (this.#stopped) return Promise.reject(new MeshError('DRAINING', 'no more work is started'));
    const state = this.#stateOf(key);
    const outcome = Promise.withResolvers<void>();
    state.waiting.push(outcome);
    this.#start(key, state);
    return outcome.promise;
  }

  #stateOf(key: K): State {
    const fresh = { running: false, marked: false, attempts: 0, cancelRetry: undefined, waiting: [] };
    const state = this.#states.get(key) ?? fresh;
    this.#states.set(key, state);
    return state;
  }

  #start(key: K, state: State): void {
    state.cancelRetry?.();
    state.cancelRetry = undefined;
    state.marked = true;
    if (!state.running) void this.#work(key, state);
  }

  /** No more work is started; resolves when what runs is done. */
  async stop(): Promise<void> {
    this.#stopped = true;
    for (const state of this.#states.values()) state.cancelRetry?.();
    await this.settled();
    const stopped = new MeshError('DRAINING', 'the agent is stopping');
    for (const { waiting } of this.#states.values())
      waiting.splice(0).forEach(({ reject }) => reject(stopped));
  }

  /** Resolves when nothing runs; retries that wait for their time do not count. */
  settled(): Promise<void> {
    if (this.#running === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  async #work(key: K, state: State): Promise<void> {
    state.running = true;
    this.#running += 1;
    while (state.marked && !this.#stopped) {
      state.marked = false;
      await this.#attempt(key, state);
    }
    state.running = false;
    if (state.cancelRetry === undefined && state.waiting.length === 0) this.#states.delete(key);
    this.#running -= 1;
    if (this.#running === 0) this.#idle.splice(0).forEach((resolve) => resolve());
  }

  async #attempt(key: K, state: State): Promise<void> {
    const waiting = state.waiting.splice(0);
    try {
      await this.#options.reconcile(key);
      state.attempts = 0;
      waiting.forEach(({ resolve }) => resolve());
    } catch (error) {
      state.attempts += 1;
      this.#options.failed(key, error, state.attempts);
      this.#retryLater(key, state);
      waiting.forEach(({ reject }) => reject(error));
    }
  }

  #retryLater(key: K, state: State): void {
    const { clock, firstDelayMs, maxDelayMs } = this.#options;
    if (this.#stopped || state.marked) return;
    const delay = Math.min(maxDelayMs, firstDelayMs * 2 ** (state.attempts - 1));
    state.cancelRetry = clock.after(delay, () => this.mark(key));
  }
}
