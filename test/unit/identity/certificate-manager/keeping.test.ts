import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { gate, hourMs, until } from '../support/fake-ca.ts';
import { db, web, ManagerRig } from '../support/manager-rig.ts';

// Certificates are made for real, perhaps while every core is busy.
jest.setTimeout(30_000);

let rig: ManagerRig;
beforeEach(async () => {
  rig = await ManagerRig.create();
});
afterEach(() => rig.manager.close());

describe('identities of this node', () => {
  it('are fetched before any connection needs them', async () => {
    rig.manager.retain(new Set([web, db]));
    await until(() => rig.manager.status().every(({ state }) => state === 'valid'));
    expect(new Set(rig.ca.requests)).toEqual(new Set([web, db]));
  });

  it('are forgotten with their last pod, and their renewal with them', async () => {
    rig.manager.retain(new Set([web, db]));
    await until(() => rig.manager.status().every(({ state }) => state === 'valid'));
    rig.manager.retain(new Set([db]));
    expect(rig.manager.status().map(({ identity }) => identity)).toEqual([db]);
    await rig.pass(14 * hourMs);
    expect(rig.ca.requests.filter((identity) => identity === web)).toHaveLength(1);
  });

  it('are fetched anew when they come back', async () => {
    const first = await rig.get(web);
    rig.manager.retain(new Set());
    rig.manager.retain(new Set([web]));
    expect(await rig.get(web)).not.toBe(first);
  });

  it('that no pod has are not asked for', async () => {
    rig.manager.retain(new Set([db]));
    await expect(rig.get(web)).rejects.toMatchObject({ code: 'CERTIFICATE_UNAVAILABLE' });
    await rig.idle();
    expect(rig.ca.requests).toEqual([db]);
  });

  it('that are forgotten while a connection waits end its wait', async () => {
    rig.ca.gate = new Promise(() => {});
    const waiting = rig.get(web);
    rig.manager.retain(new Set([db]));
    await expect(waiting).rejects.toMatchObject({ code: 'CERTIFICATE_UNAVAILABLE' });
  });

  it('that are forgotten during a request do not come back with its answer', async () => {
    const { promise, open } = gate();
    rig.ca.gate = promise;
    rig.manager.retain(new Set([web]));
    await until(() => rig.ca.running === 1);
    rig.manager.retain(new Set());
    open();
    await until(() => rig.ca.running === 0);
    expect(rig.manager.status()).toEqual([]);
    expect(rig.clock.nextDelay).toBeUndefined();
  });
});

describe('status', () => {
  it('tells life, serial and next renewal of each identity, sorted', async () => {
    await Promise.all([rig.get(web), rig.get(db)]);
    await rig.clock.advance(6 * hourMs);
    const rows = rig.manager.status();
    expect(rows.map(({ identity }) => identity)).toEqual([db, web]);
    expect(rows[1]).toMatchObject({ state: 'valid', failures: 0, requesting: false });
    expect(rows[1]?.lifeUsed).toBeCloseTo(0.26, 1);
    expect(rows[1]?.certificate?.serial).toMatch(/^[0-9A-F]{32}$/);
    expect(rows[1]?.nextAttemptAt).toBeGreaterThan(rig.clock.now());
  });

  it('and the log hold no private key', async () => {
    const { privateKey } = await rig.get(web);
    const secret = privateKey.split('\n')[1] ?? '';
    expect(secret.length).toBeGreaterThan(20);
    expect(JSON.stringify(rig.manager.status())).not.toContain(secret);
    expect(rig.lines.join('')).not.toContain(secret);
    expect(JSON.stringify(rig.manager.status())).not.toContain('PRIVATE KEY');
  });
});

describe('closing', () => {
  it('ends waiting connections and every timer', async () => {
    await rig.get(db);
    rig.ca.gate = new Promise(() => {});
    const waiting = rig.get(web);
    rig.manager.close();
    await expect(waiting).rejects.toMatchObject({ code: 'DRAINING' });
    await expect(rig.get(web)).rejects.toMatchObject({ code: 'DRAINING' });
    expect(rig.clock.nextDelay).toBeUndefined();
  });
});
