/**
 * Looks after sockets that are paused: nothing is read from them, so Node does not tell when their remote resets them,
 * and a connection whose other side stands still as well would never end. The kernel is asked instead, now and then.
 */
import type { Clock } from '../../base/clock.ts';

export interface Stalled {
  /** Looks whether the remote is still there, and acts if not. */
  check(): void;
}

const intervalMs = 2000;

export class StallWatch {
  readonly #clock: Clock;
  readonly #stalled = new Set<Stalled>();
  #waiting = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(end: Stalled): void {
    this.#stalled.add(end);
    this.#wait();
  }

  delete(end: Stalled): void {
    this.#stalled.delete(end);
  }

  #wait(): void {
    if (this.#waiting || this.#stalled.size === 0) return;
    this.#waiting = true;
    this.#clock.after(intervalMs, () => {
      this.#waiting = false;
      for (const end of this.#stalled) end.check();
      this.#wait();
    });
  }
}
