import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { hourMs, until } from '../support/fake-ca.ts';
import { away, db, minuteMs, web, ManagerRig } from '../support/manager-rig.ts';

// Certificates are made for real, perhaps while every core is busy.
jest.setTimeout(30_000);

let rig: ManagerRig;
beforeEach(async () => {
  rig = await ManagerRig.create();
});
afterEach(() => rig.manager.close());

describe('renewal', () => {
  it.each([
    [0, 0.45],
    [0.5, 0.5],
    [0.999, 0.55],
  ])('with luck %d happens at %d of the life', async (luck, share) => {
    rig.clock.luck = luck;
    await rig.get(web);
    await rig.pass(24 * hourMs * (share - 0.01));
    expect(rig.ca.requests).toHaveLength(1);
    await rig.pass(24 * hourMs * 0.02);
    expect(rig.ca.requests).toHaveLength(2);
  });

  it('goes on for weeks', async () => {
    await rig.get(web);
    for (let i = 0; i < 42; i += 1) await rig.pass(12 * hourMs);
    expect(rig.ca.requests.length).toBeGreaterThan(40);
    expect(rig.row()?.state).toBe('valid');
  });

  it('follows an authority that gives less, or more than a timer can hold', async () => {
    rig.ca.lifetimeMs = 10 * minuteMs;
    await rig.get(web);
    await rig.pass(6 * minuteMs);
    expect(rig.ca.requests).toHaveLength(2);
    rig.ca.lifetimeMs = 90 * 24 * hourMs;
    await rig.pass(6 * minuteMs);
    await rig.pass(40 * 24 * hourMs);
    expect(rig.ca.requests).toHaveLength(3);
    await rig.pass(10 * 24 * hourMs);
    expect(rig.ca.requests).toHaveLength(4);
  });
});

describe('while the authority is away', () => {
  it('a valid certificate is used to its last second, and not beyond', async () => {
    const first = await rig.get(web);
    rig.ca.failure = away;
    await rig.pass(first.notAfter - rig.clock.now() - 1);
    expect(await rig.get(web)).toBe(first);
    expect(rig.row()?.state).toBe('stale');
    await rig.pass(1);
    await expect(rig.get(web, AbortSignal.abort())).rejects.toMatchObject({
      code: 'CERTIFICATE_UNAVAILABLE',
    });
    expect(rig.row()?.state).toBe('expired');
  });

  it('the node serves as long as one certificate is usable, and again from the next one on', async () => {
    expect(rig.manager.serving).toBe(true);
    rig.manager.retain(new Set([web, db]));
    expect(rig.manager.serving).toBe(false);
    const { notAfter } = await rig.get(web);
    rig.ca.failure = away;
    expect(rig.manager.serving).toBe(true);
    await rig.pass(notAfter - rig.clock.now());
    expect(rig.manager.serving).toBe(false);
    rig.ca.failure = undefined;
    await rig.pass(rig.clock.nextDelay ?? 0);
    expect(rig.manager.serving).toBe(true);
  });

  it('alarms are raised at 50, 75 and 90 % of the life, once each', async () => {
    await rig.get(web);
    rig.ca.failure = away;
    for (let i = 0; i < 96; i += 1) await rig.pass(hourMs / 4);
    expect(rig.alarms).toEqual([50, 75, 90]);
    expect(rig.lines.filter((line) => line.includes('of the certificate’s life is over'))).toHaveLength(3);
  });

  it('no alarm is raised while renewal works', async () => {
    rig.clock.luck = 0.999;
    await rig.get(web);
    for (let i = 0; i < 96; i += 1) await rig.pass(hourMs / 2);
    expect(rig.alarms).toEqual([]);
  });

  it.each([
    ['a renewal', 150_000, true],
    ['a first certificate', 15_000, false],
  ])('retries of %s have growing delays from half a second to %d ms', async (_what, longest, held) => {
    rig.clock.luck = 0.999;
    if (held) await rig.get(web);
    rig.ca.failure = away;
    rig.manager.retain(new Set([web]));
    await rig.idle();
    const due = (): number => (rig.row()?.nextAttemptAt ?? 0) - rig.clock.now();
    if (held) await rig.pass(due());
    const delays: number[] = [];
    for (let i = 0; i < 12; i += 1) {
      delays.push(due());
      await rig.pass(due());
    }
    expect(delays).toEqual(delays.toSorted((a, b) => a - b));
    expect(delays[0]).toBeGreaterThanOrEqual(500);
    expect(delays.at(-1)).toBeGreaterThan(0.99 * longest);
    expect(delays.at(-1)).toBeLessThanOrEqual(longest);
  });

  it('recovery clears the error and everything it caused', async () => {
    await rig.get(web);
    rig.ca.failure = away;
    await rig.pass(14 * hourMs);
    expect(rig.row()).toMatchObject({ state: 'stale', lastError: { error: away } });
    rig.ca.failure = undefined;
    await rig.pass(150_000);
    expect(rig.row()).toMatchObject({ state: 'valid', failures: 0, lastError: undefined });
  });

  it('the same failure is a warning once, not every time', async () => {
    rig.ca.failure = away;
    rig.manager.retain(new Set([web]));
    await rig.idle();
    for (let i = 0; i < 5; i += 1) await rig.pass(10_000);
    expect(rig.row()?.failures).toBeGreaterThan(2);
    expect(rig.lines.filter((line) => line.includes('"level":"warn"'))).toHaveLength(1);
    expect(rig.lines[0]).toContain('"hint":"start it"');
  });
});

describe('clocks that disagree by 10 minutes', () => {
  it.each([
    ['the authority is ahead', 10 * minuteMs],
    ['the authority is behind', -10 * minuteMs],
  ])('do no harm: %s', async (_what, aheadMs) => {
    rig.ca.clockAheadMs = aheadMs;
    await rig.get(web);
    await rig.pass(14 * hourMs);
    expect(rig.ca.requests).toHaveLength(2);
    expect(rig.row()?.state).toBe('valid');
  });

  it('are named as the reason when they disagree by more than certificates bear', async () => {
    rig.ca.clockAheadMs = 45 * minuteMs;
    const deadline = new AbortController();
    const waiting = rig.get(web, deadline.signal);
    await until(() => rig.row()?.failures === 1);
    deadline.abort();
    await expect(waiting).rejects.toMatchObject({ hint: expect.stringContaining('clocks') });
  });

  it('do not stall retries when this node’s clock is set back', async () => {
    rig.ca.failure = away;
    rig.manager.retain(new Set([web]));
    await rig.idle();
    const realNow = rig.clock.now.bind(rig.clock);
    rig.clock.now = () => realNow() - hourMs;
    rig.ca.failure = undefined;
    const waiting = rig.get(web);
    await rig.clock.advance(1_000);
    expect((await waiting).identity).toBe(web);
  });
});
