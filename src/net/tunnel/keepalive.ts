/**
 * Tells a dead connection from a quiet one: a PING every interval, and whatever the peer sends counts as an answer. It
 * counts its own ticks and not the time, so that a process that was stopped for a minute does not blame its peers.
 */
import type { Clock } from '../../base/clock.ts';

/** A PING goes out in the first silent interval; after two more the peer is gone. */
const silentIntervals = 2;

interface KeepaliveOptions {
  readonly intervalMs: number;
  readonly ping: () => void;
  readonly dead: () => void;
}

export class Keepalive {
  readonly #clock: Clock;
  readonly #options: KeepaliveOptions;
  #silent = 0;
  #cancel: (() => void) | undefined;

  constructor(clock: Clock, options: KeepaliveOptions) {
    this.#clock = clock;
    this.#options = options;
  }

  start(): void {
    this.#cancel = this.#clock.after(this.#options.intervalMs, () => this.#tick());
  }

  stop(): void {
    this.#cancel?.();
  }

  /** Bytes came in. */
  heard(): void {
    this.#silent = 0;
  }

  #tick(): void {
    if (this.#silent > silentIntervals) {
      this.#options.dead();
      return;
    }
    this.#silent++;
    this.start();
    this.#options.ping();
  }
}
