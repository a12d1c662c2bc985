import { describe, expect, it } from '@jest/globals';
import { array, assert, double, property } from 'fast-check';
import { median, quantile, rotated, spread } from '../../bench/stats.ts';

describe('the median', () => {
  it('is the middle of an odd number of values, whatever their order', () => {
    expect(median([9, 1, 5])).toBe(5);
  });

  it('is halfway between the two in the middle of an even number', () => {
    expect(median([4, 1, 2, 100])).toBe(3);
  });

  it('sorts by value, not as text', () => {
    expect(median([10, 9, 100])).toBe(10);
  });

  it('does not exist for no values', () => {
    expect(median([])).toBeUndefined();
  });

  it('does not depend on the order of rounds', () => {
    const values = array(double({ noNaN: true, min: -1e9, max: 1e9 }), { minLength: 1 });
    assert(property(values, (some) => median(some) === median(some.toReversed())));
  });
});

describe('the spread', () => {
  it('is half the distance of the extremes, relative to the median', () => {
    expect(spread([90, 100, 120])).toBeCloseTo(0.15);
  });

  it('says nothing of a single round', () => {
    expect(spread([5])).toBeUndefined();
  });
});

describe('a quantile', () => {
  it('is a value that was measured, and none beyond the largest', () => {
    const values = [5, 1, 4, 2, 3];
    expect([0.5, 0.99, 1].map((share) => quantile(values, share))).toEqual([3, 5, 5]);
  });

  it('of one value is that value, of none does not exist', () => {
    expect([quantile([7], 0.5), quantile([], 0.5)]).toEqual([7, undefined]);
  });
});

describe('taking turns', () => {
  it('begins at another one each round and leaves nobody out', () => {
    expect([0, 1, 2, 3].map((round) => rotated(['a', 'b', 'c'], round).join(''))).toEqual([
      'abc',
      'bca',
      'cab',
      'abc',
    ]);
  });
});
