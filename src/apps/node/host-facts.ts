/** Facts about the process and its host that the kernel side needs: cgroups, found and not assumed. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { MeshError } from '../../base/errors.ts';
import { cgroup2Mount } from '../../base/mounts.ts';

/** @throws MeshError UNSUPPORTED when cgroup v2 is mounted nowhere */
export function requireCgroup2(): string {
  const path = cgroup2Mount(readFileSync('/proc/self/mounts', 'utf8'));
  if (path !== undefined) return path;
  throw new MeshError('UNSUPPORTED', 'no cgroup v2 file system is mounted', {
    hint: 'mkdir -p /sys/fs/cgroup/unified && mount -t cgroup2 none /sys/fs/cgroup/unified',
  });
}

/** The v2 cgroup directory of this process. */
export function ownCgroup(): string {
  const line = readFileSync('/proc/self/cgroup', 'utf8')
    .split('\n')
    .find((entry) => entry.startsWith('0::'));
  return join(requireCgroup2(), line?.slice('0::'.length) ?? '/');
}
