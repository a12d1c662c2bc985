import { describe, expect, it } from '@jest/globals';
import type { Clock } from '../../../../src/base/clock.ts';
import { Keepalive } from '../../../../src/net/tunnel/keepalive.ts';

/** One pending timer, fired by hand. */
function setUp() {
  let timer: (() => void) | undefined;
  const clock: Clock = {
    now: () => 0,
    random: () => 0,
    after(_delayMs, callback) {
      timer = callback;
      return () => (timer = undefined);
    },
  };
  const seen = { pings: 0, dead: 0 };
  const keepalive = new Keepalive(clock, {
    intervalMs: 10_000,
    ping: () => seen.pings++,
    dead: () => seen.dead++,
  });
  keepalive.start();
  const tick = (): void => {
    const due = timer;
    timer = undefined;
    due?.();
  };
  return { keepalive, seen, tick, pending: () => timer !== undefined };
}

describe('keepalive', () => {
  it('pings every interval and is content with any answer', () => {
    const { keepalive, seen, tick } = setUp();
    for (let i = 0; i < 10; i++) {
      tick();
      keepalive.heard();
    }
    expect(seen).toEqual({ pings: 10, dead: 0 });
  });

  it('gives the peer up two intervals after a PING that was not answered', () => {
    const { seen, tick, pending } = setUp();
    tick();
    tick();
    tick();
    expect(seen).toEqual({ pings: 3, dead: 0 });
    tick();
    expect(seen).toEqual({ pings: 3, dead: 1 });
    expect(pending()).toBe(false);
  });

  it('starts counting anew when the peer is heard again', () => {
    const { keepalive, seen, tick } = setUp();
    tick();
    tick();
    keepalive.heard();
    tick();
    tick();
    tick();
    expect(seen.dead).toBe(0);
  });

  it('stops', () => {
    const { keepalive, pending } = setUp();
    keepalive.stop();
    expect(pending()).toBe(false);
  });
});
