/**
 * Carries bytes between two ends until both directions have ended. Each direction has its own back-pressure, so two
 * full directions cannot wait for each other. What is held in user space is bounded by what the ends may hold.
 */
import type { Clock } from '../../base/clock.ts';
import { MeshError } from '../../base/errors.ts';
import type { ByteCounts } from '../engine.ts';
import type { ByteEnd, ByteSink } from './byte-end.ts';

export interface RelayDeps {
  readonly clock: Clock;
  readonly halfCloseLingerMs: number;
}

export interface RelayOwner {
  /** Told once; undefined when both directions ended in order. */
  carried(error: MeshError | undefined): void;
}

/** `finished`, `finish` and `lingerUnlessOver` are for its directions. */
export class Relay {
  readonly #deps: RelayDeps;
  readonly #owner: RelayOwner;
  readonly #up: Direction;
  readonly #down: Direction;
  #unfinished = 2;
  #over = false;
  #cancelLinger: (() => void) | undefined;

  /** @param deps may be shared by many relays. */
  constructor(near: ByteEnd, far: ByteEnd, deps: RelayDeps, owner: RelayOwner) {
    this.#deps = deps;
    this.#owner = owner;
    this.#up = new Direction(this, near, far);
    this.#down = new Direction(this, far, near);
  }

  start(): void {
    this.#up.from.attach(this.#up);
    this.#down.from.attach(this.#down);
    if (!this.#over) this.#up.from.resume();
    if (!this.#over) this.#down.from.resume();
  }

  counts(): ByteCounts {
    return { sent: this.#up.bytes, received: this.#down.bytes };
  }

  get bufferedBytes(): number {
    return this.#up.from.bufferedBytes + this.#down.from.bufferedBytes;
  }

  /** Resets both ends. */
  abort(error: MeshError): void {
    if (this.#over) return;
    this.#up.from.reset(error);
    this.#down.from.reset(error);
    this.finish(error);
  }

  /** One direction has ended in order. */
  finished(): void {
    if (--this.#unfinished === 0) this.finish(undefined);
  }

  finish(error: MeshError | undefined): void {
    if (this.#over) return;
    this.#over = true;
    this.#cancelLinger?.();
    this.#owner.carried(error);
  }

  /** From the first half-close on: ends the connection when nothing moved for the linger time. */
  lingerUnlessOver(): void {
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
    return `${this.#up.bytes} ${this.#down.bytes} ${this.bufferedBytes}`;
  }
}

/** What comes from one end, on its way to the other. */
class Direction implements ByteSink {
  readonly #relay: Relay;
  readonly from: ByteEnd;
  readonly #to: ByteEnd;
  bytes = 0;

  constructor(relay: Relay, from: ByteEnd, to: ByteEnd) {
    this.#relay = relay;
    this.from = from;
    this.#to = to;
  }

  data(bytes: Uint8Array): void {
    this.bytes += bytes.length;
    if (!this.#to.write(bytes)) this.from.pause();
  }

  ended(): void {
    this.#relay.lingerUnlessOver();
    this.#to.end();
  }

  writable(): void {
    this.#to.resume();
  }

  finished(): void {
    this.#relay.finished();
  }

  failed(error: MeshError): void {
    this.#to.reset(error);
    this.#relay.finish(error);
  }
}
