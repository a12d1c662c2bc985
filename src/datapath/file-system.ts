/** Which kind of file system a path is on; numbers are those of <linux/magic.h>. */
import { statfsSync } from 'node:fs';

const magic = { bpf: 0xcafe4a11, cgroup2: 0x63677270 } as const;

/** False too if there is no such path. */
export function isOnFileSystem(kind: keyof typeof magic, path: string): boolean {
  try {
    return statfsSync(path).type === magic[kind];
  } catch {
    return false;
  }
}
