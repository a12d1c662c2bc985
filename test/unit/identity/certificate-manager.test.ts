import { createPrivateKey, X509Certificate } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { MeshError } from '../../../src/base/errors.ts';
import type { Logger } from '../../../src/base/log.ts';
import { CertificateManager, type CertificateObserver } from '../../../src/identity/certificate-manager.ts';
import type { Credentials } from '../../../src/model/credentials.ts';
import type { SpiffeId } from '../../../src/model/identity.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { FakeCa, gate, hourMs, idOf, until } from './support/fake-ca.ts';

// Certificates are made for real, perhaps while every core is busy.
jest.setTimeout(30_000);

const minuteMs = 60_000;
const web = idOf('web');
const db = idOf('db');
const away = new MeshError('UNAVAILABLE', 'the certificate authority is away', { hint: 'start it' });

let clock: FakeClock;
let ca: FakeCa;
let manager: CertificateManager;
let lines: string[];
let alarms: number[];

beforeEach(async () => {
  clock = new FakeClock();
  ca = await FakeCa.create(clock);
  lines = [];
  alarms = [];
  manager = newManager();
});

afterEach(() => manager.close());

const observer: CertificateObserver = {
  obtained() {},
  failed() {},
  alarm: (_identity, percent) => void alarms.push(percent),
};

const at = (level: string) => (fields: object, message: string) =>
  void lines.push(JSON.stringify({ level, message, ...fields }));

function newManager(options: { concurrency?: number } = {}): CertificateManager {
  const log: Logger = {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    child: () => log,
  };
  return new CertificateManager({ ca, clock, log, observer }, options);
}

const patience = (): AbortSignal => new AbortController().signal;
const get = (identity: SpiffeId, signal = patience()): Promise<Credentials> =>
  manager.get(identity, { signal });
const row = (identity = web) => manager.status().find((status) => status.identity === identity);
const idle = () =>
  until(() => manager.status().every(({ requesting, nextAttemptAt }) => !requesting && nextAttemptAt));

/** Moves time and waits until what fell due then is done. */
async function pass(ms: number): Promise<void> {
  await clock.advance(ms);
  await idle();
}

describe('a connection that needs a certificate', () => {
  it('gets one with its own key, its one identity, and the roots to trust', async () => {
    const credentials = await get(web);
    const leaf = new X509Certificate(credentials.certificateChain);
    expect(leaf.subjectAltName).toBe(`URI:${web}`);
    expect(leaf.checkPrivateKey(createPrivateKey(credentials.privateKey))).toBe(true);
    expect(credentials).toMatchObject({ identity: web, trustDomain: 'cluster.local', trustedRoots: ca.root });
  });

  it('shares one request with all others of its identity', async () => {
    const all = await Promise.all(Array.from({ length: 50 }, () => get(web)));
    expect(new Set(all).size).toBe(1);
    expect(ca.requests).toEqual([web]);
  });

  it('gets the same object until the certificate is renewed', async () => {
    const first = await get(web);
    expect(await get(web)).toBe(first);
    await pass(14 * hourMs);
    const second = await get(web);
    expect(second).not.toBe(first);
    expect(second.privateKey).not.toBe(first.privateKey);
  });

  it('gives up when its time is over, and says why there was no certificate', async () => {
    ca.failure = away;
    const deadline = new AbortController();
    const waiting = get(web, deadline.signal);
    await until(() => row()?.failures === 1);
    deadline.abort();
    await expect(waiting).rejects.toMatchObject({
      code: 'CERTIFICATE_UNAVAILABLE',
      message: expect.stringContaining('the certificate authority is away'),
      hint: 'start it',
    });
  });

  it('fails at once when its time was over before it asked', async () => {
    ca.failure = away;
    await expect(get(web, AbortSignal.abort())).rejects.toMatchObject({ code: 'CERTIFICATE_UNAVAILABLE' });
  });

  it('outlasts an authority that comes up a little later', async () => {
    ca.failure = away;
    const waiting = get(web);
    await until(() => row()?.failures === 1);
    await pass(1_000);
    ca.failure = undefined;
    await pass(1_000);
    expect((await waiting).identity).toBe(web);
  });

  it('shortens a long backoff: the authority may be back', async () => {
    ca.failure = away;
    manager.retain(new Set([web]));
    await idle();
    for (let i = 0; i < 12; i += 1) await pass(150_000);
    await pass(clock.nextDelay ?? 0);
    clock.luck = 0.999;
    await pass(clock.nextDelay ?? 0);
    expect(clock.nextDelay).toBeGreaterThan(10_000);
    ca.failure = undefined;
    const waiting = get(web);
    expect(clock.nextDelay).toBeLessThanOrEqual(500);
    await clock.advance(500);
    expect((await waiting).identity).toBe(web);
  });

  it('does not hammer a failing authority, however many connections come', async () => {
    ca.failure = away;
    const deadline = new AbortController();
    const waiting = Array.from({ length: 100 }, () => get(web, deadline.signal).catch(() => undefined));
    await idle();
    for (let i = 0; i < 100; i += 1) {
      waiting.push(get(web, deadline.signal).catch(() => undefined));
      await pass(100);
    }
    expect(ca.requests.length).toBeLessThanOrEqual(21);
    expect(ca.requests.length).toBeGreaterThanOrEqual(10);
    deadline.abort();
    await Promise.all(waiting);
  });
});

describe('order of requests', () => {
  it('is connections, then warm-up, then renewal, and never more than the limit at once', async () => {
    manager = newManager({ concurrency: 1 });
    await get(idOf('renewing'));
    const { promise, open } = gate();
    ca.gate = promise;
    manager.retain(new Set(['renewing', 'blocker', 'warm', 'urgent'].map(idOf)));
    await until(() => ca.running === 1);
    await clock.advance(14 * hourMs);
    const waiting = get(idOf('urgent'));
    ca.gate = undefined;
    open();
    await waiting;
    await idle();
    const names = ca.requests.map((identity) => identity.split('/').at(-1));
    expect(names).toEqual(['renewing', 'blocker', 'urgent', 'warm', 'renewing']);
    expect(ca.mostRunning).toBe(1);
  });

  it('keeps a node of 60 identities to a few requests at once', async () => {
    manager.retain(new Set(Array.from({ length: 60 }, (_, i) => idOf(`sa-${i}`))));
    await until(() => manager.status().every(({ state }) => state === 'valid'));
    expect(ca.requests).toHaveLength(60);
    expect(ca.mostRunning).toBeLessThanOrEqual(4);
  });
});

describe('renewal', () => {
  it.each([
    [0, 0.45],
    [0.5, 0.5],
    [0.999, 0.55],
  ])('with luck %d happens at %d of the life', async (luck, share) => {
    clock.luck = luck;
    await get(web);
    await pass(24 * hourMs * (share - 0.01));
    expect(ca.requests).toHaveLength(1);
    await pass(24 * hourMs * 0.02);
    expect(ca.requests).toHaveLength(2);
  });

  it('goes on for weeks', async () => {
    await get(web);
    for (let i = 0; i < 42; i += 1) await pass(12 * hourMs);
    expect(ca.requests.length).toBeGreaterThan(40);
    expect(row()?.state).toBe('valid');
  });

  it('follows an authority that gives less, or more than a timer can hold', async () => {
    ca.lifetimeMs = 10 * minuteMs;
    await get(web);
    await pass(6 * minuteMs);
    expect(ca.requests).toHaveLength(2);
    ca.lifetimeMs = 90 * 24 * hourMs;
    await pass(6 * minuteMs);
    await pass(40 * 24 * hourMs);
    expect(ca.requests).toHaveLength(3);
    await pass(10 * 24 * hourMs);
    expect(ca.requests).toHaveLength(4);
  });
});

describe('while the authority is away', () => {
  it('a valid certificate is used to its last second, and not beyond', async () => {
    const first = await get(web);
    ca.failure = away;
    await pass(first.notAfter - clock.now() - 1);
    expect(await get(web)).toBe(first);
    expect(row()?.state).toBe('stale');
    await pass(1);
    await expect(get(web, AbortSignal.abort())).rejects.toMatchObject({ code: 'CERTIFICATE_UNAVAILABLE' });
    expect(row()?.state).toBe('expired');
  });

  it('the node serves as long as one certificate is usable, and again from the next one on', async () => {
    expect(manager.serving).toBe(true);
    manager.retain(new Set([web, db]));
    expect(manager.serving).toBe(false);
    const { notAfter } = await get(web);
    ca.failure = away;
    expect(manager.serving).toBe(true);
    await pass(notAfter - clock.now());
    expect(manager.serving).toBe(false);
    ca.failure = undefined;
    await pass(clock.nextDelay ?? 0);
    expect(manager.serving).toBe(true);
  });

  it('alarms are raised at 50, 75 and 90 % of the life, once each', async () => {
    await get(web);
    ca.failure = away;
    for (let i = 0; i < 96; i += 1) await pass(hourMs / 4);
    expect(alarms).toEqual([50, 75, 90]);
    expect(lines.filter((line) => line.includes('of the certificate’s life is over'))).toHaveLength(3);
  });

  it('no alarm is raised while renewal works', async () => {
    clock.luck = 0.999;
    await get(web);
    for (let i = 0; i < 96; i += 1) await pass(hourMs / 2);
    expect(alarms).toEqual([]);
  });

  it.each([
    ['a renewal', 150_000, true],
    ['a first certificate', 15_000, false],
  ])('retries of %s have growing delays from half a second to %d ms', async (_what, longest, held) => {
    clock.luck = 0.999;
    if (held) await get(web);
    ca.failure = away;
    manager.retain(new Set([web]));
    await idle();
    const due = (): number => (row()?.nextAttemptAt ?? 0) - clock.now();
    if (held) await pass(due());
    const delays: number[] = [];
    for (let i = 0; i < 12; i += 1) {
      delays.push(due());
      await pass(due());
    }
    expect(delays).toEqual(delays.toSorted((a, b) => a - b));
    expect(delays[0]).toBeGreaterThanOrEqual(500);
    expect(delays.at(-1)).toBeGreaterThan(0.99 * longest);
    expect(delays.at(-1)).toBeLessThanOrEqual(longest);
  });

  it('recovery clears the error and everything it caused', async () => {
    await get(web);
    ca.failure = away;
    await pass(14 * hourMs);
    expect(row()).toMatchObject({ state: 'stale', lastError: { error: away } });
    ca.failure = undefined;
    await pass(150_000);
    expect(row()).toMatchObject({ state: 'valid', failures: 0, lastError: undefined });
  });

  it('the same failure is a warning once, not every time', async () => {
    ca.failure = away;
    manager.retain(new Set([web]));
    await idle();
    for (let i = 0; i < 5; i += 1) await pass(10_000);
    expect(row()?.failures).toBeGreaterThan(2);
    expect(lines.filter((line) => line.includes('"level":"warn"'))).toHaveLength(1);
    expect(lines[0]).toContain('"hint":"start it"');
  });
});

describe('clocks that disagree by 10 minutes', () => {
  it.each([
    ['the authority is ahead', 10 * minuteMs],
    ['the authority is behind', -10 * minuteMs],
  ])('do no harm: %s', async (_what, aheadMs) => {
    ca.clockAheadMs = aheadMs;
    await get(web);
    await pass(14 * hourMs);
    expect(ca.requests).toHaveLength(2);
    expect(row()?.state).toBe('valid');
  });

  it('are named as the reason when they disagree by more than certificates bear', async () => {
    ca.clockAheadMs = 45 * minuteMs;
    const deadline = new AbortController();
    const waiting = get(web, deadline.signal);
    await until(() => row()?.failures === 1);
    deadline.abort();
    await expect(waiting).rejects.toMatchObject({ hint: expect.stringContaining('clocks') });
  });

  it('do not stall retries when this node’s clock is set back', async () => {
    ca.failure = away;
    manager.retain(new Set([web]));
    await idle();
    const realNow = clock.now.bind(clock);
    clock.now = () => realNow() - hourMs;
    ca.failure = undefined;
    const waiting = get(web);
    await clock.advance(1_000);
    expect((await waiting).identity).toBe(web);
  });
});

describe('an answer that is not what was asked for', () => {
  it('is never used', async () => {
    ca.impostor = db;
    const deadline = new AbortController();
    const waiting = get(web, deadline.signal);
    await until(() => row()?.failures === 1);
    deadline.abort();
    await expect(waiting).rejects.toMatchObject({ message: expect.stringContaining('sa/db') });
    expect(row()?.lastError?.error.code).toBe('CERTIFICATE_INVALID');
  });

  it('does not displace the certificate in use', async () => {
    const first = await get(web);
    ca.impostor = db;
    await pass(14 * hourMs);
    expect(await get(web)).toBe(first);
  });
});

describe('identities of this node', () => {
  it('are fetched before any connection needs them', async () => {
    manager.retain(new Set([web, db]));
    await until(() => manager.status().every(({ state }) => state === 'valid'));
    expect(new Set(ca.requests)).toEqual(new Set([web, db]));
  });

  it('are forgotten with their last pod, and their renewal with them', async () => {
    manager.retain(new Set([web, db]));
    await until(() => manager.status().every(({ state }) => state === 'valid'));
    manager.retain(new Set([db]));
    expect(manager.status().map(({ identity }) => identity)).toEqual([db]);
    await pass(14 * hourMs);
    expect(ca.requests.filter((identity) => identity === web)).toHaveLength(1);
  });

  it('are fetched anew when they come back', async () => {
    const first = await get(web);
    manager.retain(new Set());
    manager.retain(new Set([web]));
    expect(await get(web)).not.toBe(first);
  });

  it('that no pod has are not asked for', async () => {
    manager.retain(new Set([db]));
    await expect(get(web)).rejects.toMatchObject({ code: 'CERTIFICATE_UNAVAILABLE' });
    await idle();
    expect(ca.requests).toEqual([db]);
  });

  it('that are forgotten while a connection waits end its wait', async () => {
    ca.gate = new Promise(() => {});
    const waiting = get(web);
    manager.retain(new Set([db]));
    await expect(waiting).rejects.toMatchObject({ code: 'CERTIFICATE_UNAVAILABLE' });
  });

  it('that are forgotten during a request do not come back with its answer', async () => {
    const { promise, open } = gate();
    ca.gate = promise;
    manager.retain(new Set([web]));
    await until(() => ca.running === 1);
    manager.retain(new Set());
    open();
    await until(() => ca.running === 0);
    expect(manager.status()).toEqual([]);
    expect(clock.nextDelay).toBeUndefined();
  });
});

describe('status', () => {
  it('tells life, serial and next renewal of each identity, sorted', async () => {
    await Promise.all([get(web), get(db)]);
    await clock.advance(6 * hourMs);
    const rows = manager.status();
    expect(rows.map(({ identity }) => identity)).toEqual([db, web]);
    expect(rows[1]).toMatchObject({ state: 'valid', failures: 0, requesting: false });
    expect(rows[1]?.lifeUsed).toBeCloseTo(0.26, 1);
    expect(rows[1]?.certificate?.serial).toMatch(/^[0-9A-F]{32}$/);
    expect(rows[1]?.nextAttemptAt).toBeGreaterThan(clock.now());
  });

  it('and the log hold no private key', async () => {
    const { privateKey } = await get(web);
    const secret = privateKey.split('\n')[1] ?? '';
    expect(secret.length).toBeGreaterThan(20);
    expect(JSON.stringify(manager.status())).not.toContain(secret);
    expect(lines.join('')).not.toContain(secret);
    expect(JSON.stringify(manager.status())).not.toContain('PRIVATE KEY');
  });
});

describe('closing', () => {
  it('ends waiting connections and every timer', async () => {
    await get(db);
    ca.gate = new Promise(() => {});
    const waiting = get(web);
    manager.close();
    await expect(waiting).rejects.toMatchObject({ code: 'DRAINING' });
    await expect(get(web)).rejects.toMatchObject({ code: 'DRAINING' });
    expect(clock.nextDelay).toBeUndefined();
  });
});
