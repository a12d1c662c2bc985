/** Facts about the process and its host that the kernel side needs: cgroups, found and not assumed. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { MeshError } from '../../base/errors.ts';
import { requireCgroup2 } from '../../base/mounts.ts';

/** @throws MeshError UNSUPPORTED when cgroup v2 is mounted nowhere */
export const cgroup2Root = (): string => requireCgroup2(readFileSync('/proc/self/mounts', 'utf8'));

/**
 * The v2 cgroup directory of this process, below the host's mount. Container runtimes give a process a view of the
 * cgroups in which its own is the root; where that is in the host's, the host's first process knows (hostPID). What
 * either says is checked: taking a larger cgroup for ours would take others' connections for ztunnel's.
 * @throws MeshError UNSUPPORTED
 */
export function ownCgroup(): string {
  const root = cgroup2Root();
  for (const table of [ownTable, tableOfHost]) {
    const directory = join(root, unifiedPath(table()) ?? 'none');
    if (holdsThisProcess(directory)) return directory;
  }
  throw new MeshError('UNSUPPORTED', `this process is in no cgroup below ${root} that it can find`, {
    hint: 'in a pod: hostPID, and the node’s /sys/fs/cgroup mounted at the same place',
  });
}

/** The path after `0::` in a table as of /proc/PID/cgroup. */
const unifiedPath = (table: string): string | undefined =>
  table
    .split('\n')
    .find((line) => line.startsWith('0::/'))
    ?.slice('0::'.length);

const ownTable = (): string => readFileSync('/proc/self/cgroup', 'utf8');

/** Empty where it cannot be had. */
function tableOfHost(): string {
  const args = ['--cgroup=/proc/1/ns/cgroup', '--', 'cat', `/proc/${process.pid}/cgroup`];
  return spawnSync('nsenter', args, { encoding: 'utf8' }).stdout;
}

function holdsThisProcess(directory: string): boolean {
  const list = join(directory, 'cgroup.procs');
  return existsSync(list) && readFileSync(list, 'utf8').split('\n').includes(String(process.pid));
}
