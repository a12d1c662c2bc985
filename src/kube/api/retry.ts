/** When to ask again. Pure. */

export interface RetryLimits {
  readonly minMs: number;
  readonly maxMs: number;
}

/**
 * Delay before the next attempt after `failures` in a row: exponential, with jitter over its upper half, so that
 * 5 000 nodes that lost one API server do not come back together. `random` is in [0, 1).
 */
export function retryDelayMs(failures: number, random: number, { minMs, maxMs }: RetryLimits): number {
  const upper = Math.min(maxMs, minMs * 2 ** Math.min(failures - 1, 20));
  return upper * (0.5 + 0.5 * random);
}

/** `Retry-After` in seconds, as API servers send it; anything else is ignored, and a day is too long to wait. */
export function parseRetryAfterMs(header: string | undefined): number | undefined {
  return header !== undefined && /^\d{1,4}$/.test(header) ? Number(header) * 1000 : undefined;
}
