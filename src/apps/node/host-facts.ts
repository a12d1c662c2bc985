/** Facts about the process and its host that the kernel side needs: cgroups, found and not assumed. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { requireCgroup2 } from '../../base/mounts.ts';

/** @throws MeshError UNSUPPORTED when cgroup v2 is mounted nowhere */
export const cgroup2Root = (): string => requireCgroup2(readFileSync('/proc/self/mounts', 'utf8'));

/** The v2 cgroup directory of this process. */
export function ownCgroup(): string {
  const line = readFileSync('/proc/self/cgroup', 'utf8')
    .split('\n')
    .find((entry) => entry.startsWith('0::'));
  return join(cgroup2Root(), line?.slice('0::'.length) ?? '/');
}
