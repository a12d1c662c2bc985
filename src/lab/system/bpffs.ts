/** The BPF file system: mounted for the lab's time where the host has none, and the lab's pins in it. */
import { readFile, rm } from 'node:fs/promises';
import { run } from './run.ts';

/** Whether a bpf file system is mounted at `path`, by the text of /proc/mounts. */
export const isBpffs = (mounts: string, path: string): boolean =>
  mounts.split('\n').some((line) => line.split(' ')[1] === path && line.split(' ')[2] === 'bpf');

const isMounted = async (path: string): Promise<boolean> =>
  isBpffs(await readFile('/proc/mounts', 'utf8'), path);

/** Returns whether it had to be mounted, that is, whether it is ours to unmount. */
export async function mountBpffs(path: string): Promise<boolean> {
  if (await isMounted(path)) return false;
  await run(['mount', '-t', 'bpf', 'bpffs', path]);
  return true;
}

export async function unmountBpffs(path: string): Promise<void> {
  if (await isMounted(path)) await run(['umount', path]);
}

/** Unpinning the last reference to a link also detaches its program. */
export const removePins = (path: string): Promise<void> => rm(path, { recursive: true, force: true });
