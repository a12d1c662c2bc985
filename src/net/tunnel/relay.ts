/**
 * Carries bytes between two ends until both directions have ended. Each direction has its own back-pressure, so two
 * full directions cannot wait for each other. What is held in user space is bounded by what the ends may hold.
 */
import type { Clock } from '../../base/clock.ts';
import { MeshError } from '../../base/errors.ts';
import type { ByteCounts } from '../engine.ts';
import type { ByteEnd, ByteSink } from './byte-end.ts';

interface RelayDeps {
  readonly clock: Clock;
  readonly halfCloseLingerMs: number;
  /** Called once; undefined when both directions ended in order. */
  readonly done: (error: MeshError | undefined) => void;
}

export class Relay {
  readonly #near: ByteEnd;
  readonly #far: ByteEnd;
  readonly #deps: RelayDeps;
  #sent = 0;
  #received = 0;
  #unfinished = 2;
  #over = false;
  #cancelLinger: (() => void) | undefined;

  constructor(near: ByteEnd, far: ByteEnd, deps: RelayDeps) {
    this.#near = near;
    this.#far = far;
    this.#deps = deps;
  }

  start(): void {
    this.#near.attach(this.#sink(this.#near, this.#far, (n) => (this.#sent += n)));
    this.#far.attach(this.#sink(this.#far, this.#near, (n) => (this.#received += n)));
    if (!this.#over) this.#near.resume();
    if (!this.#over) this.#far.resume();
  }

  counts(): ByteCounts {
    return { sent: this.#sent, received: this.#received };
  }

  get bufferedBytes(): number {
    return this.#near.bufferedBytes + this.#far.bufferedBytes;
  }

  /** Resets both ends. */
  abort(error: MeshError): void {
    if (this.#over) return;
    this.#near.reset(error);
    this.#far.reset(error);
    this.#finish(error);
  }

  #sink(from: ByteEnd, to: ByteEnd, count: (bytes: number) => void): ByteSink {
    return {
      data: (bytes) => {
        count(bytes.length);
        if (!to.write(bytes)) from.pause();
      },
      ended: () => {
        this.#lingerUnlessOver();
        to.end();
      },
      writable: () => to.resume(),
      finished: () => {
        if (--this.#unfinished === 0) this.#finish(undefined);
      },
      failed: (error) => {
        to.reset(error);
        this.#finish(error);
      },
    };
  }

  #finish(error: MeshError | undefined): void {
    if (this.#over) return;
    this.#over = true;
    this.#cancelLinger?.();
    this.#deps.done(error);
  }

  /** From the first half-close on: ends the connection when nothing moved for the linger time. */
  #lingerUnlessOver(): void {
    if (this.#over || this.#cancelLinger !== undefined) return;
    this.#watch(this.#progress());
  }

  #watch(before: string): void {
    this.#cancelLinger = this.#deps.clock.after(this.#deps.halfCloseLingerMs, () => {
      const now = this.#progress();
      if (now !== before) this.#watch(now);
      else this.abort(new MeshError('TIMEOUT', 'one side had closed, and the other sent nothing any more'));
    });
  }

  #progress(): string {
    return `${this.#sent} ${this.#received} ${this.bufferedBytes}`;
  }
}
