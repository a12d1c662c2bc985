/** Facts about the process and its host that the kernel side needs: namespaces and cgroups, found and not assumed. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { MeshError } from '../../base/errors.ts';

/**
 * Where cgroup v2 is mounted: `/sys/fs/cgroup` on most hosts, `/sys/fs/cgroup/unified` on hybrid ones.
 * @throws MeshError UNSUPPORTED when it is mounted nowhere.
 */
export function cgroup2Mount(mounts: string = readFileSync('/proc/self/mounts', 'utf8')): string {
  const entry = mounts.split('\n').find((line) => line.split(' ')[2] === 'cgroup2');
  const path = entry?.split(' ')[1];
  if (path === undefined) {
    throw new MeshError('UNSUPPORTED', 'no cgroup v2 file system is mounted', {
      hint: 'mount -t cgroup2 none /sys/fs/cgroup/unified',
    });
  }
  return path;
}

/** The v2 cgroup directory of this process. */
export function ownCgroup(mount: string = cgroup2Mount()): string {
  const line = readFileSync('/proc/self/cgroup', 'utf8')
    .split('\n')
    .find((entry) => entry.startsWith('0::'));
  return join(mount, line?.slice('0::'.length) ?? '/');
}
