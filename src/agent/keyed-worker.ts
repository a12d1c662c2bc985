/**
 * Runs one job at a time for each key, and once more if the key was marked while its job ran: reconciliation of many
 * independent things without two operations on the same one. Failures are retried with growing delays.
 */
import type { Clock } from '../base/clock.ts';

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
    if (this.#stopped) return;
    const state = this.#states.get(key) ?? {
      running: false,
      marked: false,
      attempts: 0,
      cancelRetry: undefined,
    };
    this.#states.set(key, state);
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
    if (state.cancelRetry === undefined) this.#states.delete(key);
    this.#running -= 1;
    if (this.#running === 0) this.#idle.splice(0).forEach((resolve) => resolve());
  }

  async #attempt(key: K, state: State): Promise<void> {
    try {
      await this.#options.reconcile(key);
      state.attempts = 0;
    } catch (error) {
      state.attempts += 1;
      this.#options.failed(key, error, state.attempts);
      this.#retryLater(key, state);
    }
  }

  #retryLater(key: K, state: State): void {
    const { clock, firstDelayMs, maxDelayMs } = this.#options;
    if (this.#stopped || state.marked) return;
    const delay = Math.min(maxDelayMs, firstDelayMs * 2 ** (state.attempts - 1));
    state.cancelRetry = clock.after(delay, () => this.mark(key));
  }
}
