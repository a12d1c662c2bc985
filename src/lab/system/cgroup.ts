/** cgroup v2 directories: find the mount, make, list, end everything inside, remove. Knows nothing of pods. */
import { mkdir, readFile, readdir, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { MeshError } from '../../base/errors.ts';
import { requireCgroup2 } from '../../base/mounts.ts';

/** Where cgroup v2 is mounted: on hybrid hosts that is not /sys/fs/cgroup itself. */
export const findCgroup2 = async (): Promise<string> =>
  requireCgroup2(await readFile('/proc/mounts', 'utf8'));

export const makeCgroup = async (path: string): Promise<void> => {
  await mkdir(path, { recursive: true });
};

/** Ids of all processes in a cgroup and below it; none when it does not exist. */
export async function processesIn(path: string): Promise<readonly number[]> {
  const own = await readFile(join(path, 'cgroup.procs'), 'utf8').catch(() => '');
  const below = await Promise.all((await childrenOf(path)).map(processesIn));
  return [
    ...own
      .split('\n')
      .filter((line) => line !== '')
      .map(Number),
    ...below.flat(),
  ];
}

async function childrenOf(path: string): Promise<readonly string[]> {
  const entries = await readdir(path, { withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => entry.isDirectory()).map((entry) => join(path, entry.name));
}

/** SIGKILLs everything in a cgroup and below, and waits until it is gone. */
export async function killCgroup(path: string): Promise<void> {
  for (let round = 0; round < 200; round++) {
    if ((await processesIn(path)).length === 0) return;
    await killOnce(path);
    await delay(round < 10 ? 2 : 20);
  }
  throw new MeshError('TIMEOUT', `processes in ${path} do not end: ${(await processesIn(path)).join(', ')}`);
}

/** `cgroup.kill` (Linux 5.14) takes the tree at once; before, one by one, again until nothing was forked meanwhile. */
async function killOnce(path: string): Promise<void> {
  try {
    await writeFile(join(path, 'cgroup.kill'), '1', { flag: 'r+' });
  } catch {
    for (const pid of await processesIn(path)) killQuietly(pid);
  }
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It ended meanwhile.
  }
}

/** Removes an empty cgroup with everything below it; absent is fine. */
export async function removeCgroup(path: string): Promise<void> {
  for (const child of await childrenOf(path)) await removeCgroup(child);
  for (let round = 0; ; round++) {
    try {
      return await rmdir(path);
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      if (code === 'ENOENT') return;
      // A dying process keeps its cgroup busy a moment longer than it is listed.
      if (code !== 'EBUSY' || round >= 100) throw error;
      await delay(5);
    }
  }
}
