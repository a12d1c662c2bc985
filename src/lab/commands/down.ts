/**
 * `lab down`: ends and removes everything a lab made, whatever state it is in, and proves that nothing is left. Goes
 * by the names on the host, not only by the state file, so it also clears up after a crash. Harmless without a lab.
 */
import { readdir, readFile, rm, rmdir } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { MeshError } from '../../base/errors.ts';
import { readLabState } from '../lab-file.ts';
import type { LabState } from '../lab-file.ts';
import { bpffs, labCgroup, labPrefix, pinRoot } from '../layout.ts';
import type { LabLayout } from '../layout.ts';
import { removePins, unmountBpffs } from '../system/bpffs.ts';
import { findCgroup2, killCgroup, processesIn, removeCgroup } from '../system/cgroup.ts';
import { deleteNamespaces, labNamespaces } from '../system/netns.ts';
import { signalProcess } from '../system/process.ts';
import type { LabContext } from './context.ts';

/** What was there to be removed. */
export interface DownResult {
  readonly processes: number;
  readonly namespaces: number;
}

/** @throws MeshError INVALID_ARGUMENT from inside the lab, INTERNAL when something resists. */
export async function labDown(context: LabContext): Promise<DownResult> {
  await refuseInside();
  return tearDown(context);
}

/** A process of the lab that removes the lab would end itself half-way. */
async function refuseInside(): Promise<void> {
  const own = await readFile('/proc/self/cgroup', 'utf8');
  if (!own.includes(`/${labPrefix}/`)) return;
  throw new MeshError('INVALID_ARGUMENT', 'this shell runs inside the lab', { hint: 'leave it first: exit' });
}

export async function tearDown(context: LabContext): Promise<DownResult> {
  const state = await readLabState(context.layout).catch(() => undefined);
  const cgroup = labCgroup(state?.cgroup2 ?? (await findCgroup2()));
  const processes = (await processesIn(cgroup)).length;
  endKubelets(state);
  await killCgroup(cgroup);
  const namespaces = await labNamespaces();
  await deleteNamespaces(namespaces);
  await removePins(pinRoot);
  await removeCgroup(cgroup);
  if (state?.mountedBpffs === true) await unmountBpffs(bpffs);
  await removeFiles(context.layout);
  await proveGone([cgroup, pinRoot]);
  await removeLabFile(context.layout);
  return { processes, namespaces: namespaces.length };
}

/** One that was just being started may not be in its cgroup yet. */
function endKubelets(state: LabState | undefined): void {
  for (const kubelet of Object.values(state?.kubelets ?? {})) signalProcess(kubelet, 'SIGKILL');
}

/** All but the state file: as long as it is there, nobody starts another lab, whose files would be taken along. */
async function removeFiles({ stateDir, labFile }: LabLayout): Promise<void> {
  const names = await readdir(stateDir).catch(() => []);
  const paths = names.map((name) => join(stateDir, name)).filter((path) => path !== labFile);
  await Promise.all(paths.map((path) => rm(path, { recursive: true, force: true })));
}

/** The directories go too if nobody uses them: the next lab may be there already. */
async function removeLabFile({ stateDir, labFile }: LabLayout): Promise<void> {
  await rm(labFile, { force: true });
  for (const directory of [stateDir, dirname(stateDir)]) await rmdir(directory).catch(() => {});
}

async function proveGone(paths: readonly string[]): Promise<void> {
  const left = [...(await labNamespaces()), ...paths.filter((path) => existsSync(path))];
  if (left.length === 0) return;
  throw new MeshError('INTERNAL', `could not be removed: ${left.join(', ')}`, { hint: 'try again' });
}
