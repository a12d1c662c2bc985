import { createPrivateKey, X509Certificate } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { gate, hourMs, idOf, until } from '../support/fake-ca.ts';
import { away, db, web, ManagerRig } from '../support/manager-rig.ts';

// Certificates are made for real, perhaps while every core is busy.
jest.setTimeout(30_000);

let rig: ManagerRig;
beforeEach(async () => {
  rig = await ManagerRig.create();
});
afterEach(() => rig.manager.close());

describe('a connection that needs a certificate', () => {
  it('gets one with its own key, its one identity, and the roots to trust', async () => {
    const credentials = await rig.get(web);
    const leaf = new X509Certificate(credentials.certificateChain);
    expect(leaf.subjectAltName).toBe(`URI:${web}`);
    expect(leaf.checkPrivateKey(createPrivateKey(credentials.privateKey))).toBe(true);
    expect(credentials).toMatchObject({
      identity: web,
      trustDomain: 'cluster.local',
      trustedRoots: rig.ca.root,
    });
  });

  it('shares one request with all others of its identity', async () => {
    const all = await Promise.all(Array.from({ length: 50 }, () => rig.get(web)));
    expect(new Set(all).size).toBe(1);
    expect(rig.ca.requests).toEqual([web]);
  });

  it('gets the same object until the certificate is renewed', async () => {
    const first = await rig.get(web);
    expect(await rig.get(web)).toBe(first);
    await rig.pass(14 * hourMs);
    const second = await rig.get(web);
    expect(second).not.toBe(first);
    expect(second.privateKey).not.toBe(first.privateKey);
  });

  it('gives up when its time is over, and says why there was no certificate', async () => {
    rig.ca.failure = away;
    const deadline = new AbortController();
    const waiting = rig.get(web, deadline.signal);
    await until(() => rig.row()?.failures === 1);
    deadline.abort();
    await expect(waiting).rejects.toMatchObject({
      code: 'CERTIFICATE_UNAVAILABLE',
      message: expect.stringContaining('the certificate authority is away'),
      hint: 'start it',
    });
  });

  it('fails at once when its time was over before it asked', async () => {
    rig.ca.failure = away;
    await expect(rig.get(web, AbortSignal.abort())).rejects.toMatchObject({
      code: 'CERTIFICATE_UNAVAILABLE',
    });
  });

  it('outlasts an authority that comes up a little later', async () => {
    rig.ca.failure = away;
    const waiting = rig.get(web);
    await until(() => rig.row()?.failures === 1);
    await rig.pass(1_000);
    rig.ca.failure = undefined;
    await rig.pass(1_000);
    expect((await waiting).identity).toBe(web);
  });

  it('shortens a long backoff: the authority may be back', async () => {
    rig.ca.failure = away;
    rig.manager.retain(new Set([web]));
    await rig.idle();
    for (let i = 0; i < 12; i += 1) await rig.pass(150_000);
    await rig.pass(rig.clock.nextDelay ?? 0);
    rig.clock.luck = 0.999;
    await rig.pass(rig.clock.nextDelay ?? 0);
    expect(rig.clock.nextDelay).toBeGreaterThan(10_000);
    rig.ca.failure = undefined;
    const waiting = rig.get(web);
    expect(rig.clock.nextDelay).toBeLessThanOrEqual(500);
    await rig.clock.advance(500);
    expect((await waiting).identity).toBe(web);
  });

  it('does not hammer a failing authority, however many connections come', async () => {
    rig.ca.failure = away;
    const deadline = new AbortController();
    const waiting = Array.from({ length: 100 }, () => rig.get(web, deadline.signal).catch(() => undefined));
    await rig.idle();
    for (let i = 0; i < 100; i += 1) {
      waiting.push(rig.get(web, deadline.signal).catch(() => undefined));
      await rig.pass(100);
    }
    expect(rig.ca.requests.length).toBeLessThanOrEqual(21);
    expect(rig.ca.requests.length).toBeGreaterThanOrEqual(10);
    deadline.abort();
    await Promise.all(waiting);
  });
});

describe('order of requests', () => {
  it('is connections, then warm-up, then renewal, and never more than the limit at once', async () => {
    rig.restart({ concurrency: 1 });
    await rig.get(idOf('renewing'));
    const { promise, open } = gate();
    rig.ca.gate = promise;
    rig.manager.retain(new Set(['renewing', 'blocker', 'warm', 'urgent'].map(idOf)));
    await until(() => rig.ca.running === 1);
    await rig.clock.advance(14 * hourMs);
    const waiting = rig.get(idOf('urgent'));
    rig.ca.gate = undefined;
    open();
    await waiting;
    await rig.idle();
    const names = rig.ca.requests.map((identity) => identity.split('/').at(-1));
    expect(names).toEqual(['renewing', 'blocker', 'urgent', 'warm', 'renewing']);
    expect(rig.ca.mostRunning).toBe(1);
  });

  it('keeps a node of 60 identities to a few requests at once', async () => {
    rig.manager.retain(new Set(Array.from({ length: 60 }, (_, i) => idOf(`sa-${i}`))));
    await until(() => rig.manager.status().every(({ state }) => state === 'valid'));
    expect(rig.ca.requests).toHaveLength(60);
    expect(rig.ca.mostRunning).toBeLessThanOrEqual(4);
  });
});

describe('an answer that is not what was asked for', () => {
  it('is never used', async () => {
    rig.ca.impostor = db;
    const deadline = new AbortController();
    const waiting = rig.get(web, deadline.signal);
    await until(() => rig.row()?.failures === 1);
    deadline.abort();
    await expect(waiting).rejects.toMatchObject({ message: expect.stringContaining('sa/db') });
    expect(rig.row()?.lastError?.error.code).toBe('CERTIFICATE_INVALID');
  });

  it('does not displace the certificate in use', async () => {
    const first = await rig.get(web);
    rig.ca.impostor = db;
    await rig.pass(14 * hourMs);
    expect(await rig.get(web)).toBe(first);
  });
});
