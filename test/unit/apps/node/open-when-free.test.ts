import { describe, expect, it } from '@jest/globals';
import { openWhenFree } from '../../../../src/apps/node/open-when-free.ts';
import { MeshError } from '../../../../src/base/errors.ts';
import { silentLogger } from '../../../../src/base/log.ts';
import { FakeClock, flushPromises } from '../../../support/fake-clock.ts';

const taken = new MeshError('ALREADY_EXISTS', 'another process is in charge');

/** Opens after so many attempts in vain. */
function opening(failures: number, error: MeshError = taken) {
  const clock = new FakeClock();
  let attempts = 0;
  const open = (): Promise<string> =>
    ++attempts > failures ? Promise.resolve('open') : Promise.reject(error);
  return { clock, opened: openWhenFree(open, clock, silentLogger), attempts: () => attempts };
}

describe('the kernel side', () => {
  it('is taken as soon as the node program before lets go of it', async () => {
    const { clock, opened, attempts } = opening(3);
    await flushPromises();
    await clock.advance(149);
    expect(attempts()).toBe(3);
    await clock.advance(1);
    expect(await opened).toBe('open');
  });

  it('that somebody keeps is an error after ten seconds', async () => {
    const { clock, opened } = opening(Infinity);
    const failure = expect(opened).rejects.toBe(taken);
    await flushPromises();
    await clock.advance(10_050);
    await failure;
  });

  it('that cannot be opened for another reason is an error at once', async () => {
    const error = new MeshError('BPF_LOAD', 'the kernel refused');
    const { opened, attempts } = opening(1, error);
    await expect(opened).rejects.toBe(error);
    expect(attempts()).toBe(1);
  });
});
