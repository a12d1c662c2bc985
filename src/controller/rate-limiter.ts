/** Token buckets by key, bounded in number: the least recently used is forgotten, and so starts full again. */
import type { Clock } from '../base/clock.ts';

export interface RateLimit {
  /** Sustained events per second. */
  readonly perSecond: number;
  /** Events at once after a quiet time. */
  readonly burst: number;
}

interface Bucket {
  tokens: number;
  at: number;
}

const maxKeys = 10_000;

export class RateLimiter {
  readonly #limit: RateLimit;
  readonly #clock: Clock;
  readonly #buckets = new Map<string, Bucket>();

  constructor(limit: RateLimit, clock: Clock) {
    this.#limit = limit;
    this.#clock = clock;
  }

  /** True if the event is within the limit, and counts it. */
  take(key: string): boolean {
    const bucket = this.#refilled(key);
    this.#buckets.delete(key);
    this.#buckets.set(key, bucket);
    this.#forgetOldest();
    if (bucket.tokens < 1) return false;
    bucket.tokens -= 1;
    return true;
  }

  #refilled(key: string): Bucket {
    const now = this.#clock.now();
    const { perSecond, burst } = this.#limit;
    const { tokens, at } = this.#buckets.get(key) ?? { tokens: burst, at: now };
    const elapsedMs = Math.max(0, now - at);
    return { tokens: Math.min(burst, tokens + (elapsedMs / 1000) * perSecond), at: now };
  }

  #forgetOldest(): void {
    const oldest = this.#buckets.keys().next().value;
    if (this.#buckets.size > maxKeys && oldest !== undefined) this.#buckets.delete(oldest);
  }
}
