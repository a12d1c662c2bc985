import { describe, expect, it } from '@jest/globals';
import { parseRetryAfterMs, retryDelayMs } from '../../../../src/kube/api/retry.ts';

const limits = { minMs: 500, maxMs: 30_000 };

describe('the delay before the next attempt', () => {
  it('doubles with each failure up to a limit', () => {
    expect([1, 2, 3, 7, 1000].map((failures) => retryDelayMs(failures, 1, limits))).toEqual([
      500, 1000, 2000, 30_000, 30_000,
    ]);
  });

  it('is spread over its upper half', () => {
    expect([0, 0.5].map((random) => retryDelayMs(3, random, limits))).toEqual([1000, 1500]);
  });
});

describe('a server’s wish to be left alone', () => {
  it('is read in seconds, and ignored otherwise', () => {
    const headers = ['5', '0', undefined, 'soon', '-1', '99999', 'Wed, 21 Oct 2026 07:28:00 GMT'];
    expect(headers.map(parseRetryAfterMs)).toEqual([5000, 0, ...Array(5).fill(undefined)]);
  });
});
