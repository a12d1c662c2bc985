/** Certificates that survive the process: what the next one makes of them. */
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { silentLogger } from '../../../src/base/log.ts';
import { CertificateManager } from '../../../src/identity/certificate-manager.ts';
import { keeperVault } from '../../../src/identity/credential-vault.ts';
import type { Credentials } from '../../../src/model/credentials.ts';
import type { SpiffeId } from '../../../src/model/identity.ts';
import type { Fd } from '../../../src/native/binding.ts';
import { type Keeper, noKeeper } from '../../../src/native/keeper.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { FakeCa, hourMs, until } from './support/fake-ca.ts';
import { away, db, web } from './support/manager-rig.ts';

// Certificates are made for real, perhaps while every core is busy.
jest.setTimeout(30_000);

let directory = '';
let clock: FakeClock;
let ca: FakeCa;
/** What the keeper holds: bytes by name. */
const held = new Map<string, Buffer>();
const managers: CertificateManager[] = [];
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'mesh-ebpf-vault-'));
  clock = new FakeClock();
  ca = await FakeCa.create(clock);
});
afterEach(() => {
  for (const manager of managers.splice(0)) manager.close();
  held.clear();
  rmSync(directory, { recursive: true });
});

/** A keeper whose memory are bytes in `held`. */
function fakeKeeper(): { readonly keeper: Keeper; readonly native: Parameters<typeof keeperVault>[0] } {
  const written = new Map<Fd, Buffer>();
  const open = (bytes: Uint8Array): Fd => {
    const path = join(directory, 'memory');
    writeFileSync(path, bytes);
    const fd = openSync(path, 'r') as Fd;
    written.set(fd, Buffer.from(bytes));
    return fd;
  };
  const native = { sealedMemory: open, closeFd: (fd: Fd) => closeSync(fd) };
  const keeper: Keeper = {
    restarts: 0,
    take: (name) => {
      const bytes = held.get(name);
      return bytes && open(bytes);
    },
    hold: (name, fd) => void held.set(name, written.get(fd) ?? Buffer.alloc(0)),
    drop: (prefix) =>
      [...held.keys()].filter((name) => name.startsWith(prefix)).forEach((name) => held.delete(name)),
    ready: () => 0,
  };
  return { keeper, native };
}

/** A process's certificate manager, after another one's end. */
function startProcess(): CertificateManager {
  for (const manager of managers.splice(0)) manager.close();
  const { keeper, native } = fakeKeeper();
  const vault = keeperVault(native, keeper);
  const manager = new CertificateManager({ ca, clock, log: silentLogger, vault });
  managers.push(manager);
  return manager;
}

const get = (manager: CertificateManager, identity: SpiffeId): Promise<Credentials> =>
  manager.get(identity, { signal: AbortSignal.timeout(20_000) });

describe('a process that follows one with certificates', () => {
  it('uses them at once, while the authority is away', async () => {
    const before = await get(startProcess(), web);
    ca.failure = away;
    const next = startProcess();
    next.retain(new Set([web]));
    expect(next.serving).toBe(true);
    expect(await get(next, web)).toEqual(before);
    expect(ca.requests).toEqual([web]);
  });

  it('renews them in time, and leaves the new ones to the process after it', async () => {
    const before = await get(startProcess(), web);
    const next = startProcess();
    next.retain(new Set([web]));
    await clock.advance(14 * hourMs);
    await until(() => ca.requests.length === 2);
    await until(() => next.status().every(({ requesting }) => !requesting));
    const renewed = await get(next, web);
    expect(renewed.notAfter).toBeGreaterThan(before.notAfter);
    expect(await get(startProcess(), web)).toEqual(renewed);
  });

  it('does not use what has ended, was damaged, or is another’s, and asks for new ones', async () => {
    const first = await get(startProcess(), web);
    const [name = '', bytes = Buffer.alloc(0)] = [...held][0] ?? [];
    const other = await get(startProcess(), db);
    const others = [...held.values()].at(-1) ?? Buffer.alloc(0);
    expect(other.identity).toBe(db);
    for (const wrong of [Buffer.alloc(0), bytes.subarray(0, 100), Buffer.from('{}'), others]) {
      held.set(name, wrong);
      const fresh = await get(startProcess(), web);
      expect(fresh.identity).toBe(web);
      expect(fresh.privateKey).not.toBe(first.privateKey);
    }
    held.set(name, bytes);
    await clock.advance(25 * hourMs);
    expect((await get(startProcess(), web)).notAfter).toBeGreaterThan(first.notAfter);
  });

  it('finds none of an identity whose last pod has gone', async () => {
    const manager = startProcess();
    await get(manager, web);
    manager.retain(new Set([db]));
    await until(() => manager.status().every(({ state }) => state === 'valid'));
    expect(held.size).toBe(1);
  });

  it('finds what was kept also after an orderly end', async () => {
    const manager = startProcess();
    await get(manager, web);
    manager.close();
    expect(held.size).toBe(1);
  });
});

describe('without a keeper', () => {
  it('no key leaves the process’s own memory', () => {
    const native = {
      sealedMemory: () => {
        throw new Error('a key was copied');
      },
      closeFd: () => {},
    };
    const vault = keeperVault(native, noKeeper);
    expect(vault.take(web, clock.now())).toBeUndefined();
    expect(() => vault.keep({} as Credentials)).not.toThrow();
  });
});
