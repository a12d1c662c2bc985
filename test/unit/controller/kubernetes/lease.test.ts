import { describe, expect, it } from '@jest/globals';
import {
  type Lease,
  mayTake,
  observe,
  released,
  taken,
} from '../../../../src/controller/kubernetes/lease.ts';

const now = Date.UTC(2026, 0, 1);
const lease = (resourceVersion: string, spec?: Lease['spec']): Lease => ({
  metadata: { name: 'x', resourceVersion },
  ...(spec === undefined ? {} : { spec }),
});
const other = { holderIdentity: 'b', leaseDurationSeconds: 15 };

describe('a Lease', () => {
  it('may be taken when it is nobody’s or mine', () => {
    for (const spec of [undefined, { holderIdentity: '' }, { holderIdentity: 'a' }]) {
      expect(mayTake({ lease: lease('1', spec), since: now }, 'a', now)).toBe(true);
    }
  });

  it('of another may be taken when it has not changed for its own duration, by my clock', () => {
    const seen = observe(undefined, lease('1', { ...other, renewTime: '1970-01-01T00:00:00Z' }), now);
    expect(mayTake(seen, 'a', now + 14_999)).toBe(false);
    expect(mayTake(seen, 'a', now + 15_000)).toBe(true);
    const renewed = observe(seen, lease('2', other), now + 14_000);
    expect(mayTake(renewed, 'a', now + 28_000)).toBe(false);
    expect(observe(renewed, lease('2', other), now + 20_000).since).toBe(now + 14_000);
  });

  it('counts how often it changed hands, and keeps when its holder began', () => {
    const mine = taken(lease('1', { ...other, leaseTransitions: 3 }), 'a', now);
    expect(mine.spec).toMatchObject({ holderIdentity: 'a', leaseTransitions: 4 });
    expect(mine.spec?.acquireTime).toBe('2026-01-01T00:00:00.000000Z');
    const renewed = taken(mine, 'a', now + 5_000);
    expect(renewed.spec).toMatchObject({
      leaseTransitions: 4,
      acquireTime: '2026-01-01T00:00:00.000000Z',
      renewTime: '2026-01-01T00:00:05.000000Z',
    });
    expect(taken(lease('1'), 'a', now).spec?.leaseTransitions).toBe(0);
  });

  it('that was given back may be taken at once', () => {
    expect(mayTake({ lease: released(lease('1', other)), since: now }, 'a', now)).toBe(true);
  });
});
