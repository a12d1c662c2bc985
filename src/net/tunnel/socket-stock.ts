/**
 * Sockets of one kind, born in advance in a busy pod's network namespace. Entering a namespace means handing the work to
 * another thread and waiting for it; sockets made together share the hand-over. A pod that dials now and then has no
 * stock, and a stock that nobody uses is given up.
 */
import { closeSync } from 'node:fs';
import type { Clock } from '../../base/clock.ts';
import { MeshError } from '../../base/errors.ts';
import type { Fd } from '../../native/binding.ts';

export interface SocketStockDeps {
  readonly make: (count: number) => Promise<readonly Fd[]>;
  readonly close?: (fd: Fd) => void;
  readonly clock: Clock;
}

/** Takes that are closer together than this let the stock grow. */
const busyWithinMs = 1000;
const idleMs = 5000;
/** More descriptors than this would save next to nothing. */
const maxSize = 16;

export class SocketStock {
  readonly #deps: Required<SocketStockDeps>;
  #ready: Fd[] = [];
  /** How many there should be; grows with every take of a busy pod. */
  #size = 0;
  #lastTaken = 0;
  #refilling = false;
  #closed = false;
  #cancelGivingUp: (() => void) | undefined;

  constructor({ make, close = closeSync, clock }: SocketStockDeps) {
    this.#deps = { make, close, clock };
  }

  /**
   * A socket that belongs to the caller: from the stock, else made for it.
   * @throws MeshError as `make` does
   */
  async take(): Promise<Fd> {
    const now = this.#deps.clock.now();
    this.#size = now - this.#lastTaken < busyWithinMs ? Math.min(maxSize, this.#size + 1) : 0;
    this.#lastTaken = now;
    const fd = this.#ready.pop();
    if (2 * this.#ready.length < this.#size) void this.#refill();
    return fd ?? this.#makeOne();
  }

  async #makeOne(): Promise<Fd> {
    const [fd] = await this.#deps.make(1);
    if (fd === undefined) throw new MeshError('INTERNAL', 'one socket was asked for, and none was made');
    return fd;
  }

  close(): void {
    this.#closed = true;
    this.#giveUp();
  }

  /** What fails here fails again, and is told, when somebody needs the socket. */
  async #refill(): Promise<void> {
    if (this.#refilling || this.#closed) return;
    this.#refilling = true;
    const made = await this.#deps.make(this.#size - this.#ready.length).catch(() => []);
    this.#refilling = false;
    this.#ready.push(...made);
    if (this.#closed) this.#giveUp();
    else this.#watchIdle();
  }

  #watchIdle(): void {
    this.#cancelGivingUp ??= this.#deps.clock.after(idleMs, () => {
      this.#cancelGivingUp = undefined;
      if (this.#deps.clock.now() - this.#lastTaken >= idleMs) this.#giveUp();
      else this.#watchIdle();
    });
  }

  #giveUp(): void {
    this.#cancelGivingUp?.();
    this.#cancelGivingUp = undefined;
    this.#ready.splice(0).forEach((fd) => this.#deps.close(fd));
  }
}
