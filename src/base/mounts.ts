/** What the text of /proc/mounts says. Pure; callers read the file. Format: proc_pid_mounts(5). */

/**
 * Where cgroup v2 is mounted: `/sys/fs/cgroup` on most hosts, below it on hybrid ones. The host's own mount comes
 * before those of chroots and containers that show up in the same table. Undefined when there is none.
 */
export function cgroup2Mount(mounts: string): string | undefined {
  const points = mounts
    .split('\n')
    .map((line) => line.split(' '))
    .flatMap(([, point, type]) => (type === 'cgroup2' && point !== undefined ? [point] : []));
  return points.find((point) => point.startsWith('/sys/fs/cgroup')) ?? points[0];
}
