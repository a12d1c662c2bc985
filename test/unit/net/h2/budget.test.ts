import { describe, expect, it } from '@jest/globals';
import { Budget } from '../../../../src/net/h2/budget.ts';
import { manualClock } from './support/endpoint.ts';

describe('a budget', () => {
  it('allows a burst, then as much as time brings', () => {
    const clock = manualClock();
    const budget = new Budget(clock, { burst: 3, perSecond: 2 });
    const spend = (times: number): boolean[] => Array.from({ length: times }, () => budget.spend());
    expect(spend(4)).toEqual([true, true, true, false]);
    clock.advance(1000);
    expect(spend(3)).toEqual([true, true, false]);
    clock.advance(60_000);
    expect(spend(4)).toEqual([true, true, true, false]);
  });

  it('can be earned, up to its burst', () => {
    const budget = new Budget(manualClock(), { burst: 2, perSecond: 0 });
    budget.spend();
    budget.earn(50);
    expect([budget.spend(), budget.spend(), budget.spend()]).toEqual([true, true, false]);
  });

  it('survives a clock that is set back', () => {
    const clock = manualClock();
    clock.advance(10_000);
    const budget = new Budget(clock, { burst: 1, perSecond: 1 });
    budget.spend();
    clock.advance(-5000);
    expect(budget.spend()).toBe(false);
    clock.advance(1000);
    expect(budget.spend()).toBe(true);
  });
});
