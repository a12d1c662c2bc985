/**
 * Keeps a storm of equal failures from flooding the log: of each (who, to whom, why) it lets the first few through in
 * every window and counts the rest, which the next line reports. Metrics and the registry still see every one.
 */
import type { Clock } from '../base/clock.ts';
import type { ConnectionRecord } from '../model/connection.ts';
import { outcomeOf } from './outcome.ts';

export interface ThrottleOptions {
  readonly windowMs?: number;
  /** Lines a window for one (who, to whom, why). */
  readonly burst?: number;
  /** Lines a window for all of them together: a port scan is many different failures. */
  readonly burstTotal?: number;
  /** Different combinations remembered; the least recently seen is forgotten first. */
  readonly maxKeys?: number;
}

export interface Admission {
  readonly write: boolean;
  /** Lines of this kind left out since the last one written. */
  readonly suppressed: number;
}

interface Window {
  startedAt: number;
  written: number;
  suppressed: number;
}

const freely: Admission = { write: true, suppressed: 0 };

export class FailureThrottle {
  readonly #clock: Clock;
  readonly #windowMs: number;
  readonly #burst: number;
  readonly #burstTotal: number;
  readonly #maxKeys: number;
  /** In order of last use, oldest first. */
  readonly #windows = new Map<string, Window>();
  readonly #total: Window = { startedAt: 0, written: 0, suppressed: 0 };

  constructor(clock: Clock, options: ThrottleOptions = {}) {
    this.#clock = clock;
    this.#windowMs = options.windowMs ?? 10_000;
    this.#burst = options.burst ?? 10;
    this.#burstTotal = options.burstTotal ?? 300;
    this.#maxKeys = options.maxKeys ?? 1024;
  }

  /** Connections that went well, or were ended on purpose, are never held back. */
  admit(record: ConnectionRecord): Admission {
    const outcome = outcomeOf(record);
    if (outcome === 'completed' || outcome === 'ended') return freely;
    const now = this.#clock.now();
    const window = this.#window(keyOf(record), now);
    if (window.written >= this.#burst || roll(this.#total, now, this.#windowMs).written >= this.#burstTotal) {
      window.suppressed += 1;
      return { write: false, suppressed: 0 };
    }
    window.written += 1;
    this.#total.written += 1;
    const { suppressed } = window;
    window.suppressed = 0;
    return { write: true, suppressed };
  }

  #window(key: string, now: number): Window {
    const window = this.#windows.get(key) ?? { startedAt: now, written: 0, suppressed: 0 };
    this.#windows.delete(key);
    this.#windows.set(key, roll(window, now, this.#windowMs));
    if (this.#windows.size > this.#maxKeys) this.#forgetOldest();
    return window;
  }

  #forgetOldest(): void {
    for (const key of this.#windows.keys()) {
      this.#windows.delete(key);
      return;
    }
  }
}

/** The window, begun anew if it is over. */
function roll(window: Window, now: number, windowMs: number): Window {
  if (now - window.startedAt >= windowMs) {
    window.startedAt = now;
    window.written = 0;
  }
  return window;
}

/** Client ports are left out: each connection has another. */
function keyOf({ source, destination, error }: ConnectionRecord): string {
  const from = source.workload?.uid ?? source.address.ip;
  return `${from}|${destination.address.ip}|${destination.address.port}|${error?.code ?? ''}`;
}
