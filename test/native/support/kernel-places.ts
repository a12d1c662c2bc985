/** Scratch places in the kernel for one test file: a BPF file system, a cgroup, network namespaces. All removable. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cgroup2Root } from '../../../src/apps/node/host-facts.ts';

const prefix = 'mebpf-nat';
let created = 0;
const uniqueName = (): string => `${prefix}-${process.pid}-${created++}`;

export interface Place {
  readonly path: string;
  remove(): void;
}

/** A bpffs of our own, so that no test depends on /sys/fs/bpf or leaves something there. */
export function mountBpfFs(): Place {
  const path = mkdtempSync(join(tmpdir(), `${prefix}-bpffs-`));
  execFileSync('mount', ['-t', 'bpf', 'bpf', path]);
  return {
    path,
    remove: () => {
      execFileSync('umount', [path]);
      rmdirSync(path);
    },
  };
}

export function makeCgroup(): Place {
  const path = join(cgroup2Root(), uniqueName());
  mkdirSync(path);
  return { path, remove: () => rmdirSync(path) };
}

/** A named namespace with `lo` up. `run` executes a command of the machine's inside it. */
export interface Netns extends Place {
  run(...command: readonly string[]): string;
}

export function makeNetns(): Netns {
  const name = uniqueName();
  execFileSync('ip', ['netns', 'add', name]);
  // The sanitizers are for what is under test: preloaded, they end some of these commands before they have said it all.
  const env = { ...process.env, LD_PRELOAD: '' };
  const run = (...command: readonly string[]): string =>
    execFileSync('ip', ['netns', 'exec', name, ...command], { encoding: 'utf8', stdio: 'pipe', env });
  run('ip', 'link', 'set', 'lo', 'up');
  return {
    path: `/run/netns/${name}`,
    run,
    remove: () => execFileSync('ip', ['netns', 'del', name]),
  };
}

/** A UDP connect() to `ip`:`port` by a process inside the cgroup. Returns whether the kernel let it through. */
export function connectFromCgroup(cgroup: string, ip: string, port: number): boolean {
  const script = `echo $$ > ${cgroup}/cgroup.procs && exec 3<>/dev/udp/${ip}/${port}`;
  try {
    execFileSync('bash', ['-c', script], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
