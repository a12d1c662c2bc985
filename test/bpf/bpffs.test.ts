/** The BPF file system that a lab mounts where the host has none. */
import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { mountBpffs, unmountBpffs } from '../../src/lab/system/bpffs.ts';

let path: string;
const isMounted = (): boolean => readFileSync('/proc/mounts', 'utf8').includes(` ${path} bpf `);

beforeEach(async () => {
  path = mkdtempSync(join(tmpdir(), 'mebpf-bpffs-'));
  expect(await mountBpffs(path)).toBe(true);
});
afterEach(() => {
  if (isMounted()) execFileSync('umount', [path]);
  rmdirSync(path);
});

it('is unmounted when the lab ends', async () => {
  await unmountBpffs(path);
  expect(isMounted()).toBe(false);
});

it('stays where another program has pinned something by then: unmounting would unpin it', async () => {
  mkdirSync(join(path, 'theirs'));
  await unmountBpffs(path);
  expect(isMounted()).toBe(true);
});

it('stays where another program has it open', async () => {
  const opened = openSync(path, 'r');
  await unmountBpffs(path);
  expect(isMounted()).toBe(true);
  closeSync(opened);
});
