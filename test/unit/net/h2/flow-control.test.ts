import { describe, expect, it } from '@jest/globals';
import { ReceiveWindow } from '../../../../src/net/h2/flow-control.ts';

describe('a receive window', () => {
  it('waits with the update until the peer has used half of it', () => {
    const window = new ReceiveWindow({ initial: 100, size: 100 });
    window.take(49);
    window.release(49);
    expect(window.grant()).toBe(0);
    window.take(1);
    window.release(1);
    expect(window.grant()).toBe(50);
    expect(window.grant()).toBe(0);
  });

  it('grants nothing for bytes that nobody has used yet', () => {
    const window = new ReceiveWindow({ initial: 100, size: 100 });
    window.take(100);
    expect(window.grant()).toBe(0);
    expect(window.take(1)).toBe(false);
    window.release(10);
    expect(window.grant()).toBe(10);
  });

  it('refuses what exceeds it and takes nothing then', () => {
    const window = new ReceiveWindow({ initial: 10, size: 10 });
    expect(window.take(11)).toBe(false);
    expect(window.unconsumed).toBe(0);
    expect(window.take(10)).toBe(true);
  });

  it('grows at once from a small initial window to its size', () => {
    expect(new ReceiveWindow({ initial: 65_535, size: 1 << 20 }).grant()).toBe((1 << 20) - 65_535);
  });

  it('shrinks from a large initial window by use alone', () => {
    const window = new ReceiveWindow({ initial: 65_535, size: 1000 });
    window.take(65_000);
    window.release(65_000);
    expect(window.grant()).toBe(0);
    window.take(535);
    window.release(535);
    expect(window.grant()).toBe(1000);
  });

  it('lets a connection with a budget go on beside bytes nobody uses', () => {
    const window = new ReceiveWindow({ initial: 100, size: 100, budget: 250 });
    window.take(100);
    expect(window.grant()).toBe(100);
    window.take(100);
    expect(window.grant()).toBe(50);
    window.take(50);
    expect(window.grant()).toBe(0);
  });

  it('keeps renewing what little is left when most of it is stuck', () => {
    const window = new ReceiveWindow({ initial: 100, size: 100 });
    window.take(96);
    for (let i = 0; i < 10; i++) {
      expect(window.take(2)).toBe(true);
      window.release(2);
      expect(window.grant()).toBe(2);
    }
  });
});
