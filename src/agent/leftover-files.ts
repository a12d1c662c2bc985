/** Finds and removes the files that a node program leaves on its machine: for `uninstall`. */
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';

export interface StateDirectories {
  /** `/run/mesh-ebpf`. */
  readonly run: string;
  /** `/var/lib/mesh-ebpf`. */
  readonly state: string;
}

/**
 * Sockets, and what the API server said last. Not what others keep beside them: a lab, or a certificate authority with
 * its keys. The directories themselves may be mounts of a container, and stay.
 */
const ours = ({ run, state }: StateDirectories): readonly string[] =>
  [join(run, 'keeper.sock'), join(run, 'node'), join(state, 'node')].filter((path) => existsSync(path));

/** Lines for people. */
export const findLeftoverFiles = (directories: StateDirectories): Promise<readonly string[]> =>
  Promise.resolve(ours(directories).map((path) => `file ${path}`));

export async function removeLeftoverFiles(directories: StateDirectories): Promise<void> {
  for (const path of ours(directories)) await rm(path, { recursive: true, force: true });
}
