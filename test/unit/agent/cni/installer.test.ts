import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { CniInstaller, findCniPlugin, removeCniPlugin } from '../../../../src/agent/cni/installer.ts';
import { systemClock } from '../../../../src/base/clock.ts';
import { silentLogger } from '../../../../src/base/log.ts';

let root = '';
let installer: CniInstaller;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'mesh-ebpf-cni-conf-'));
  ['net.d', 'bin'].forEach((name) => mkdirSync(join(root, name)));
  writeFileSync(join(root, 'built'), 'program 1');
  installer = newInstaller();
});
afterEach(async () => {
  await installer.stop();
  rmSync(root, { recursive: true, force: true });
});

const directories = () => ({ confDir: join(root, 'net.d'), binDir: join(root, 'bin') });

function newInstaller(): CniInstaller {
  return new CniInstaller(
    { clock: systemClock, log: silentLogger },
    {
      ...directories(),
      program: join(root, 'built'),
      plugin: { type: 'mesh-ebpf-cni', socket: '/run/cni.sock', waitSeconds: 20, excludeNamespaces: [] },
    },
  );
}

const conflist = (): string => join(root, 'net.d', '10-k8s.conflist');
const network = '{"cniVersion":"1.0.0","name":"k8s","plugins":[{"type":"bridge"}]}';
const types = (): unknown => {
  const { plugins } = JSON.parse(readFileSync(conflist(), 'utf8')) as { plugins: { type: string }[] };
  return plugins.map(({ type }) => type);
};

/** What the file system tells takes its time on a busy machine. */
async function until(condition: () => boolean): Promise<void> {
  for (const end = Date.now() + 15_000; !condition() && Date.now() < end;) await delay(5);
  expect(condition()).toBe(true);
}

describe('installing the CNI plugin', () => {
  it('puts program and entry in place, with the modes that were there, and leaves no other file', async () => {
    writeFileSync(conflist(), network);
    chmodSync(conflist(), 0o640);
    await installer.start();
    expect(types()).toEqual(['bridge', 'mesh-ebpf-cni']);
    expect(statSync(conflist()).mode & 0o777).toBe(0o640);
    expect(statSync(join(root, 'bin', 'mesh-ebpf-cni')).mode & 0o777).toBe(0o755);
    expect(readFileSync(join(root, 'bin', 'mesh-ebpf-cni'), 'utf8')).toBe('program 1');
    expect({ conf: readdirSync(join(root, 'net.d')), bin: readdirSync(join(root, 'bin')) }).toEqual({
      conf: ['10-k8s.conflist'],
      bin: ['mesh-ebpf-cni'],
    });
    expect(installer.problem).toBeUndefined();
  });

  it('puts the entry back when somebody rewrites the list', async () => {
    writeFileSync(conflist(), network);
    await installer.start();
    writeFileSync(conflist(), network.replace('bridge', 'calico'));
    await until(() => String(types()) === 'calico,mesh-ebpf-cni');
  });

  it('waits for a network that is installed later', async () => {
    await installer.start();
    expect(installer.problem?.error.code).toBe('NOT_FOUND');
    writeFileSync(conflist(), network);
    await until(() => installer.problem === undefined);
    expect(types()).toEqual(['bridge', 'mesh-ebpf-cni']);
  });

  it('leaves a list that is not JSON as it is, says so, and comes back when it is mended', async () => {
    writeFileSync(conflist(), '{"plugins":');
    await installer.start();
    expect(installer.problem?.error).toMatchObject({ code: 'INVALID_MANIFEST' });
    expect(readFileSync(conflist(), 'utf8')).toBe('{"plugins":');
    writeFileSync(conflist(), network);
    await until(() => installer.problem === undefined);
    expect(types()).toEqual(['bridge', 'mesh-ebpf-cni']);
  });

  it('names no plugin whose program cannot be installed: pods could not start at all', async () => {
    writeFileSync(conflist(), network);
    rmSync(join(root, 'built'));
    await installer.start();
    expect(types()).toEqual(['bridge']);
    expect(installer.problem?.error.message).toContain('installing the CNI plugin');
  });

  it('replaces an older program at once', async () => {
    writeFileSync(join(root, 'bin', 'mesh-ebpf-cni'), 'program 0');
    await installer.start();
    expect(readFileSync(join(root, 'bin', 'mesh-ebpf-cni'), 'utf8')).toBe('program 1');
  });

  it('stays in place when the agent stops, and goes with uninstall', async () => {
    writeFileSync(conflist(), network);
    await installer.start();
    await installer.stop();
    expect(types()).toEqual(['bridge', 'mesh-ebpf-cni']);
    expect(await findCniPlugin(directories())).toEqual([
      `CNI plugin in ${conflist()}`,
      `CNI plugin ${join(root, 'bin', 'mesh-ebpf-cni')}`,
    ]);
    await removeCniPlugin(directories());
    expect(JSON.parse(readFileSync(conflist(), 'utf8'))).toEqual(JSON.parse(network));
    expect(readdirSync(join(root, 'bin'))).toEqual([]);
    expect(await findCniPlugin(directories())).toEqual([]);
  });
});
