/**
 * The node program before this one, while it finishes its connections in a cgroup of its own (the pod that a DaemonSet
 * replaces): what it still dials must not be captured. That ends with its last process, and not with a clock.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { Datapath } from '../../datapath/datapath.ts';

const lookEveryMs = 1_000;

/** Returns how to stop. */
export function followPredecessor(
  datapath: Pick<Datapath, 'drainedCgroup' | 'endDraining'>,
  cgroupRoot: string,
  { clock, log }: { readonly clock: Clock; readonly log: Logger },
): () => void {
  const id = datapath.drainedCgroup();
  if (id === undefined) return () => {};
  const directory = findCgroup(cgroupRoot, id);
  log.info({ cgroup: directory ?? 'gone' }, 'the node program before this one finishes its connections');
  let cancel: (() => void) | undefined;
  const look = (): void => {
    if (directory !== undefined && isThisCgroup(directory, id) && hasProcesses(directory)) {
      cancel = clock.after(lookEveryMs, look);
      return;
    }
    datapath.endDraining();
    log.info({}, 'the node program before this one has ended');
  };
  look();
  return () => cancel?.();
}

/** A cgroup's id is its directory's inode. */
function findCgroup(root: string, id: bigint): string | undefined {
  for (const directory of directoriesIn(root)) {
    const found = isThisCgroup(directory, id) ? directory : findCgroup(directory, id);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** Cgroups come and go while they are looked at. */
function ifThere<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch {
    return undefined;
  }
}

const directoriesIn = (path: string): readonly string[] =>
  (ifThere(() => readdirSync(path, { withFileTypes: true })) ?? [])
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => join(path, name));

const isThisCgroup = (directory: string, id: bigint): boolean =>
  ifThere(() => statSync(directory, { bigint: true }).ino) === id;

const hasProcesses = (directory: string): boolean =>
  (ifThere(() => readFileSync(join(directory, 'cgroup.procs'), 'utf8')) ?? '') !== '';
