/** The BPF file system: mounted for the lab's time where the host has none, and the lab's pins in it. */
import { readFile, rm } from 'node:fs/promises';
import { mountPoints } from '../../base/mounts.ts';
import { run } from './run.ts';

const isMounted = async (path: string): Promise<boolean> =>
  mountPoints(await readFile('/proc/mounts', 'utf8'), 'bpf').includes(path);

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
