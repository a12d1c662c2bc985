import { describe, expect, it } from '@jest/globals';
import { KeyedWorker } from '../../../src/agent/keyed-worker.ts';
import { FakeClock, flushPromises } from '../../support/fake-clock.ts';

function setup(reconcile: (key: string) => Promise<void>) {
  const clock = new FakeClock();
  const failures: { key: string; attempt: number }[] = [];
  const worker = new KeyedWorker<string>({
    reconcile,
    failed: (key, _error, attempt) => failures.push({ key, attempt }),
    clock,
    firstDelayMs: 50,
    maxDelayMs: 400,
  });
  return { clock, failures, worker };
}

describe('a keyed worker', () => {
  it('never runs two operations on one key at a time, and repeats one that was asked for meanwhile', async () => {
    let running = 0;
    let most = 0;
    let runs = 0;
    const { worker } = setup(async () => {
      running += 1;
      runs += 1;
      most = Math.max(most, running);
      await flushPromises();
      running -= 1;
    });
    worker.mark('pod');
    worker.mark('pod');
    worker.mark('pod');
    await worker.settled();
    expect({ most, runs }).toEqual({ most: 1, runs: 2 });
  });

  it('works on different keys at the same time', async () => {
    const started: string[] = [];
    const { worker } = setup(async (key) => {
      started.push(key);
      await flushPromises();
    });
    worker.mark('a');
    worker.mark('b');
    expect(started).toEqual(['a', 'b']);
    await worker.settled();
  });

  it('retries a failure with growing delays until it succeeds', async () => {
    let left = 5;
    const { worker, clock, failures } = setup(() =>
      left-- > 0 ? Promise.reject(new Error('no')) : Promise.resolve(),
    );
    worker.mark('pod');
    const delays: (number | undefined)[] = [];
    for (let i = 0; i < 5; i++) {
      await worker.settled();
      delays.push(clock.nextDelay);
      await clock.advance(clock.nextDelay ?? 0);
    }
    expect(delays).toEqual([50, 100, 200, 400, 400]);
    expect(failures.map(({ attempt }) => attempt)).toEqual([1, 2, 3, 4, 5]);
    expect(clock.nextDelay).toBeUndefined();
  });

  it('runs at once when asked while a retry waits', async () => {
    let runs = 0;
    const { worker, clock } = setup(() => {
      runs += 1;
      return runs === 1 ? Promise.reject(new Error('no')) : Promise.resolve();
    });
    worker.mark('pod');
    await worker.settled();
    worker.mark('pod');
    await worker.settled();
    expect(runs).toBe(2);
    expect(clock.nextDelay).toBeUndefined();
  });

  it('starts nothing after it was stopped', async () => {
    let runs = 0;
    const { worker, clock } = setup(() => {
      runs += 1;
      return Promise.reject(new Error('no'));
    });
    worker.mark('pod');
    await worker.settled();
    await worker.stop();
    worker.mark('other');
    await clock.advance(10_000);
    expect(runs).toBe(1);
  });

  it('tells who asked for it how a run came out, and retries all the same', async () => {
    let runs = 0;
    const { worker, clock } = setup(() => {
      runs += 1;
      return runs === 1 ? Promise.reject(new Error('not yet')) : Promise.resolve();
    });
    await expect(worker.run('pod')).rejects.toThrow('not yet');
    await clock.advance(50);
    await worker.settled();
    expect(runs).toBe(2);
    await expect(worker.run('pod')).resolves.toBeUndefined();
  });

  it('lets nobody wait for work that it will not do any more', async () => {
    const { worker } = setup(() => Promise.resolve());
    await worker.stop();
    await expect(worker.run('pod')).rejects.toMatchObject({ code: 'DRAINING' });
  });
});
