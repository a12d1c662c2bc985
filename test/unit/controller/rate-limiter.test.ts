import { describe, expect, it } from '@jest/globals';
import { RateLimiter } from '../../../src/controller/rate-limiter.ts';
import { FakeClock } from '../../support/fake-clock.ts';

const takes = (limiter: RateLimiter, key: string, times: number): number =>
  Array.from({ length: times }, () => limiter.take(key)).filter(Boolean).length;

describe('a rate limit', () => {
  it('lets a burst through, then the sustained rate', async () => {
    const clock = new FakeClock();
    const limiter = new RateLimiter({ perSecond: 2, burst: 5 }, clock);
    expect(takes(limiter, 'a', 10)).toBe(5);
    await clock.advance(1_500);
    expect(takes(limiter, 'a', 10)).toBe(3);
    await clock.advance(3_600_000);
    expect(takes(limiter, 'a', 10)).toBe(5);
  });

  it('is separate for each key', () => {
    const limiter = new RateLimiter({ perSecond: 1, burst: 1 }, new FakeClock());
    expect([limiter.take('a'), limiter.take('a'), limiter.take('b')]).toEqual([true, false, true]);
  });

  it('remembers a bounded number of keys, the busiest among them', () => {
    const limiter = new RateLimiter({ perSecond: 0, burst: 1 }, new FakeClock());
    limiter.take('busy');
    for (let i = 0; i < 20_000; i += 1) {
      limiter.take(`stranger-${i}`);
      if (i % 5_000 === 0) expect(limiter.take('busy')).toBe(false);
    }
    expect(limiter.take('stranger-0')).toBe(true);
  });

  it('does not give extra when the clock is set back', async () => {
    const clock = new FakeClock();
    const limiter = new RateLimiter({ perSecond: 1, burst: 2 }, clock);
    takes(limiter, 'a', 2);
    const realNow = clock.now.bind(clock);
    clock.now = () => realNow() - 3_600_000;
    expect(limiter.take('a')).toBe(false);
  });
});
