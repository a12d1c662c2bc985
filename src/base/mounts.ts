/** What the text of /proc/mounts says. Pure; callers read the file. Format: proc_pid_mounts(5). */
import { MeshError } from './errors.ts';

/**
 * Where cgroup v2 is mounted: `/sys/fs/cgroup` on most hosts, below it on hybrid ones. The host's own mount comes
 * before those of chroots and containers that show up in the same table. Undefined when there is none.
 */
export function cgroup2Mount(mounts: string): string | undefined {
  const points = mountPoints(mounts, 'cgroup2');
  return points.find((point) => point.startsWith('/sys/fs/cgroup')) ?? points[0];
}

/**
 * Where to look for pods whose runtime uses cgroup v1, on its own or beside v2: the tree of one controller is enough,
 * since all have the same directories. None where there is no v1.
 */
export function cgroup1Mount(mounts: string): readonly string[] {
  const points = mountPoints(mounts, 'cgroup').filter((point) => point.startsWith('/sys/fs/cgroup/'));
  const usual = ['pids', 'memory', 'systemd'].map((controller) => `/sys/fs/cgroup/${controller}`);
  const chosen = usual.find((point) => points.includes(point)) ?? points[0];
  return chosen === undefined ? [] : [chosen];
}

/** @throws MeshError UNSUPPORTED when cgroup v2 is mounted nowhere */
export function requireCgroup2(mounts: string): string {
  const point = cgroup2Mount(mounts);
  if (point !== undefined) return point;
  throw new MeshError('UNSUPPORTED', 'no cgroup v2 file system is mounted', {
    hint: 'mkdir -p /sys/fs/cgroup/unified && mount -t cgroup2 none /sys/fs/cgroup/unified',
  });
}

/** Where file systems of this type are mounted, in the table's order. */
export const mountPoints = (mounts: string, type: string): string[] =>
  mounts
    .split('\n')
    .map((line) => line.split(' '))
    .flatMap(([, point, found]) => (found === type && point !== undefined ? [point] : []));
