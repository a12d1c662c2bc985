import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { followPredecessor } from '../../../../src/apps/node/predecessor.ts';
import { silentLogger } from '../../../../src/base/log.ts';
import { FakeClock } from '../../../support/fake-clock.ts';

let root: string;
let cgroup: string;
let clock: FakeClock;
let ended: number;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'mesh-ebpf-predecessor-'));
  cgroup = join(root, 'kubepods', 'pod1', 'container');
  mkdirSync(cgroup, { recursive: true });
  clock = new FakeClock();
  ended = 0;
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const processes = (text: string): void => writeFileSync(join(cgroup, 'cgroup.procs'), text);
const follow = (id: bigint | undefined): (() => void) =>
  followPredecessor({ drainedCgroup: () => id, endDraining: () => void ended++ }, root, {
    clock,
    log: silentLogger,
  });
const idOf = (path: string): bigint => statSync(path, { bigint: true }).ino;

describe('the node program before this one', () => {
  it('is part of the mesh until its last process has ended', async () => {
    processes('17\n');
    follow(idOf(cgroup));
    await clock.advance(60_000);
    expect(ended).toBe(0);
    processes('');
    await clock.advance(1_000);
    expect([ended, clock.nextDelay]).toEqual([1, undefined]);
  });

  it('is so until its cgroup is gone', async () => {
    processes('17\n');
    follow(idOf(cgroup));
    rmSync(join(root, 'kubepods'), { recursive: true });
    await clock.advance(1_000);
    expect(ended).toBe(1);
  });

  it('is not any more when this one starts and finds no such cgroup', () => {
    follow(idOf(root) + 1_000_000n);
    expect(ended).toBe(1);
  });

  it('is nobody in a restart within the same cgroup', () => {
    follow(undefined);
    expect([ended, clock.nextDelay]).toEqual([0, undefined]);
  });
});
