/** The probe's loop, in a time of its own. */
import { describe, expect, it } from '@jest/globals';
import { watchReadiness } from '../../../../src/lab/kubelet/readiness.ts';
import { FakeClock } from '../../../support/fake-clock.ts';

function watched(outcomes: boolean[], ready = false) {
  const clock = new FakeClock();
  const seen: boolean[] = [];
  let asked = 0;
  const stop = watchReadiness({
    probe: { periodSeconds: 10, failureThreshold: 2 },
    ready,
    check: () => Promise.resolve(outcomes[asked++] ?? false),
    clock,
    onChange: (now) => seen.push(now),
  });
  return { clock, seen, stop, asked: () => asked };
}

describe('watching readiness', () => {
  it('tells only changes', async () => {
    const { clock, seen } = watched([false, true, true, false, false, false, true]);
    await clock.advance(35_000);
    expect(seen).toEqual([true, false, true]);
  });

  it('begins with what is known: a pod that was ready stays so until it fails', async () => {
    const { clock, seen } = watched([false, true, false, false], true);
    await clock.advance(25_000);
    expect(seen).toEqual([]);
    await clock.advance(10_000);
    expect(seen).toEqual([false]);
  });

  it('asks no more once it is stopped, even when an answer is still under way', async () => {
    const { clock, seen, stop, asked } = watched([true]);
    await clock.advance(0);
    stop();
    const before = asked();
    await clock.advance(60_000);
    expect([asked(), seen]).toEqual([before, [true]]);
  });
});
