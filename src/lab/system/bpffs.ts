/** The BPF file system: mounted for the lab's time where the host has none, and the lab's pins in it. */
import { readdir, readFile, rm } from 'node:fs/promises';
import { asMeshError } from '../../base/errors.ts';
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

/** What the kernel puts into each (kernel/bpf/preload). */
const kernelsOwn: ReadonlySet<string> = new Set(['maps.debug', 'progs.debug']);

/** Unless others use it by now: unmounting would unpin what they have there. */
export async function unmountBpffs(path: string): Promise<void> {
  if (!(await isMounted(path)) || (await readdir(path)).some((name) => !kernelsOwn.has(name))) return;
  try {
    await run(['umount', path]);
  } catch (thrown) {
    if (!asMeshError(thrown).message.includes('busy')) throw thrown;
  }
}

/** Unpinning the last reference to a link also detaches its program. */
export const removePins = (path: string): Promise<void> => rm(path, { recursive: true, force: true });
