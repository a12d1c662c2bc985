/** A clock that stands still until a test moves it; timers fire in order of their time. */
import type { Clock } from '../../src/base/clock.ts';

export class FakeClock implements Clock {
  #now: number;
  #timers: { readonly at: number; readonly callback: () => void }[] = [];
  /** What `random` returns. */
  luck = 0.5;

  constructor(startMs = Date.UTC(2026, 0, 1)) {
    this.#now = startMs;
  }

  now(): number {
    return this.#now;
  }

  random(): number {
    return this.luck;
  }

  after(delayMs: number, callback: () => void): () => void {
    const timer = { at: this.#now + Math.max(0, delayMs), callback };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  /** Milliseconds until the next timer, or undefined when none is set. */
  get nextDelay(): number | undefined {
    return this.#timers.length === 0 ? undefined : Math.min(...this.#timers.map(({ at }) => at)) - this.#now;
  }

  /** Moves time and fires what falls due; promises that timers resolve get their turn after each. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    for (let next = this.#due(end); next !== undefined; next = this.#due(end)) {
      this.#timers = this.#timers.filter((timer) => timer !== next);
      this.#now = Math.max(this.#now, next.at);
      next.callback();
      await flushPromises();
    }
    this.#now = end;
    await flushPromises();
  }

  #due(end: number): { readonly at: number; readonly callback: () => void } | undefined {
    return this.#timers.filter(({ at }) => at <= end).toSorted((a, b) => a.at - b.at)[0];
  }
}

/** Lets every promise that is already settled run its continuations. */
export const flushPromises = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
