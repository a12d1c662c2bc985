import { describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import {
  alarmAt,
  lifeUsed,
  maxRetryMs,
  minRetryMs,
  renewAt,
  retryDelayMs,
  urgencies,
} from '../../../src/identity/renewal.ts';

const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

describe('renewal of a certificate', () => {
  it('falls at half of the remaining life, at most 10 % earlier or later', () => {
    const life = fc.integer({ min: 60_000, max: 1e11 });
    fc.assert(
      fc.property(life, random, (lifeMs, luck) => {
        const delay = renewAt(1_000, 1_000 + lifeMs, luck) - 1_000;
        expect(delay).toBeGreaterThanOrEqual(lifeMs * 0.45 - 1e-3);
        expect(delay).toBeLessThanOrEqual(lifeMs * 0.55 + 1e-3);
      }),
    );
  });

  it('is spread over the whole span, so that a cluster does not renew at once', () => {
    const hours = 24 * 3_600_000;
    expect(renewAt(0, hours, 0)).toBeCloseTo(hours * 0.45);
    expect(renewAt(0, hours, 0.999_999)).toBeCloseTo(hours * 0.55, -3);
  });

  it('is not at once even for a certificate that is nearly over', () => {
    expect(renewAt(5_000, 5_001, 0)).toBeGreaterThanOrEqual(5_000 + minRetryMs * 0.9);
  });
});

describe('the delay after failures', () => {
  it('stays between half a second and the maximum for its urgency', () => {
    const urgency = fc.constantFrom(...urgencies);
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 10_000 }), random, urgency, (failures, luck, why) => {
        const delay = retryDelayMs(failures, luck, why);
        expect(delay).toBeGreaterThanOrEqual(minRetryMs);
        expect(delay).toBeLessThanOrEqual(maxRetryMs[why]);
      }),
    );
  });

  it('doubles its upper bound with each failure until the maximum', () => {
    const uppers = [1, 2, 3, 20].map((failures) => Math.round(retryDelayMs(failures, 1, 'renewal')));
    expect(uppers).toEqual([1_000, 2_000, 4_000, 150_000]);
  });

  it('is at most a second while a connection waits', () => {
    expect(retryDelayMs(100, 1, 'demanded')).toBe(1_000);
  });

  it('is at most 15 seconds while there is no usable certificate: the node is back soon after its authority', () => {
    expect(retryDelayMs(100, 1, 'missing')).toBe(15_000);
  });
});

describe('alarms', () => {
  it.each([
    [0.49, undefined],
    [0.5, 50],
    [0.74, 50],
    [0.75, 75],
    [0.9, 90],
    [1, 90],
  ])('at %d of the life: %s', (used, alarm) => {
    expect(alarmAt(used)).toBe(alarm);
  });

  it('count the life from 0 to 1, also before and after it', () => {
    const life = { notBefore: 100, notAfter: 200 };
    expect([50, 100, 150, 200, 999].map((now) => lifeUsed(life, now))).toEqual([0, 0, 0.5, 1, 1]);
  });
});
