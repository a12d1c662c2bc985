import { describe, expect, it } from '@jest/globals';
import type { Fd } from '../../../../src/native/binding.ts';
import { SocketStock } from '../../../../src/net/tunnel/socket-stock.ts';
import { FakeClock, flushPromises } from '../../../support/fake-clock.ts';

/** Descriptors are numbers from 1 up; `open` holds those that were made and not closed. */
function setup() {
  const clock = new FakeClock();
  const open = new Set<Fd>();
  const state = { made: 0, visits: 0, failing: false };
  const stock = new SocketStock({
    clock,
    make: (count) => {
      if (state.failing) return Promise.reject(new Error('the namespace is gone'));
      state.visits += 1;
      const made = Array.from({ length: count }, () => ++state.made as Fd);
      for (const fd of made) open.add(fd);
      return Promise.resolve(made);
    },
    close: (fd) => void open.delete(fd),
  });
  const take = async (): Promise<Fd> => {
    const fd = await stock.take();
    await flushPromises();
    return fd;
  };
  return { clock, open, state, stock, take };
}

describe('sockets born in advance', () => {
  it('are not kept for a pod that dials now and then', async () => {
    const { clock, state, take } = setup();
    for (let i = 0; i < 5; i++) {
      await take();
      await clock.advance(2000);
    }
    expect(state.made).toBe(5);
  });

  it('wait for the next dial of a busy pod, each given out once', async () => {
    const { take, state } = setup();
    const taken = [];
    for (let i = 0; i < 100; i++) taken.push(await take());
    expect(new Set(taken).size).toBe(100);
    expect(state.made - taken.length).toBeGreaterThan(0);
    expect(state.made - taken.length).toBeLessThanOrEqual(16);
  });

  it('are made several at a time for a busy pod', async () => {
    const { take, state } = setup();
    for (let i = 0; i < 100; i++) await take();
    expect(state.made / state.visits).toBeGreaterThan(5);
  });

  it('are closed when the pod dials no more', async () => {
    const { clock, open, take } = setup();
    const taken = [await take(), await take(), await take(), await take()];
    expect(open.size).toBeGreaterThan(taken.length);
    await clock.advance(10_000);
    expect([...open].toSorted((a, b) => a - b)).toEqual(taken.toSorted((a, b) => a - b));
  });

  it('are closed with the pod, also those that were still being made', async () => {
    const { open, stock, take } = setup();
    const taken = [await take(), await take(), await take()];
    taken.push(await stock.take());
    stock.close();
    await flushPromises();
    expect([...open].toSorted((a, b) => a - b)).toEqual(taken.toSorted((a, b) => a - b));
  });

  it('leave an error to the dial that meets it', async () => {
    const { stock, state, take } = setup();
    for (let i = 0; i < 4; i++) await take();
    state.failing = true;
    await expect(
      (async () => {
        for (let i = 0; i < 20; i++) await take();
      })(),
    ).rejects.toThrow('the namespace is gone');
    state.failing = false;
    expect(await stock.take()).toBe(state.made);
  });
});
