/** A bounded number of things at once. */
import { describe, expect, it } from '@jest/globals';
import { slots } from '../../../../src/lab/kubelet/slots.ts';
import { flushPromises } from '../../../support/fake-clock.ts';

describe('slots', () => {
  it('run at most so many at once, and all of them in the end', async () => {
    const inSlot = slots(2);
    const releases: (() => void)[] = [];
    const seen = { running: 0, most: 0, done: 0 };
    const all = Array.from({ length: 5 }, () =>
      inSlot(async () => {
        seen.most = Math.max(seen.most, ++seen.running);
        await new Promise<void>((resolve) => releases.push(resolve));
        seen.running--;
        seen.done++;
      }),
    );
    while (seen.done < 5) {
      await flushPromises();
      releases.shift()?.();
    }
    await Promise.all(all);
    expect(seen).toEqual({ running: 0, most: 2, done: 5 });
  });

  it('go on after a failure', async () => {
    const inSlot = slots(1);
    await expect(inSlot(() => Promise.reject(new Error('no')))).rejects.toThrow('no');
    await expect(inSlot(() => Promise.resolve('yes'))).resolves.toBe('yes');
  });
});
