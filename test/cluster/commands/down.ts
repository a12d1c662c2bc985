/**
 * `down`: ends and removes everything of a cluster, whatever state it is in, and proves that nothing is left. Goes by
 * the names on the host, not only by the state file, so it also clears up after a crash. Harmless without a cluster.
 */
import { existsSync } from 'node:fs';
import { readdir, readFile, rm, rmdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { MeshError } from '../../../src/base/errors.ts';
import { killCgroup, processesIn } from '../../../src/lab/system/cgroup.ts';
import { isAlive, type ProcessRef, processRef, signalProcess } from '../../../src/lab/system/process.ts';
import { run } from '../../../src/lab/system/run.ts';
import { cgroupTrees, removeClusterCgroups } from '../machine/cgroups.ts';
import { findProcess, whenGone } from '../machine/daemons.ts';
import { clusterNamespaces, deleteFabric } from '../machine/network.ts';
import { downHint, readState, writeState } from '../machine/state.ts';
import { clusterCgroup, clusterPrefix, type ClusterLayout, hostLink } from '../plan/layout.ts';
import type { ClusterContext } from './context.ts';

const endTimeoutMs = 30_000;

/** What was there to be removed. */
export interface DownResult {
  readonly processes: number;
  readonly namespaces: number;
}

/** @throws MeshError INVALID_ARGUMENT from inside the cluster, INTERNAL when something resists. */
export async function down(context: ClusterContext): Promise<DownResult> {
  if ((await readFile('/proc/self/cgroup', 'utf8')).includes(`/${clusterPrefix}/`)) {
    throw new MeshError('INVALID_ARGUMENT', 'this shell runs inside the cluster', {
      hint: 'leave it first: exit',
    });
  }
  return clearAway(context);
}

export async function clearAway({ layout }: ClusterContext): Promise<DownResult> {
  const trees = await cgroupTrees();
  const state = await readState(layout).catch(() => undefined);
  // Whatever happens from here on, nobody may take it for a cluster that is up.
  if (state !== undefined) await writeState(layout, { ...state, complete: false });
  const refs = (await processesIn(clusterCgroup(trees.v2))).flatMap((pid) => processRef(pid) ?? []);
  await endRecorded(layout);
  await killCgroup(clusterCgroup(trees.v2));
  await whenEnded(refs);
  const namespaces = await clusterNamespaces();
  await deleteFabric();
  for (const name of await clusterNamespaces()) await run(['ip', 'netns', 'delete', name]);
  await removeClusterCgroups(trees);
  for (const path of state?.madeDirectories ?? []) await rmdir(path).catch(() => {});
  await removeFiles(layout);
  const left = await leftovers(layout);
  if (left.length > 0) {
    throw new MeshError('INTERNAL', `could not be removed: ${left.join(', ')}`, { hint: 'try again' });
  }
  await rm(layout.stateDir, { recursive: true, force: true });
  return { processes: refs.length, namespaces: namespaces.length };
}

/** One that was just being started may not be in its cgroup yet. */
async function endRecorded(layout: ClusterLayout): Promise<void> {
  const files = await readdir(dirname(layout.pid('x'))).catch(() => []);
  for (const file of files) {
    const ref = await findProcess(layout, basename(file, '.json'));
    if (ref !== undefined) signalProcess(ref, 'SIGKILL');
  }
}

/** A node's process 1 leaves its cgroup before it is gone: it waits for the others of its process namespace. */
async function whenEnded(refs: readonly ProcessRef[]): Promise<void> {
  if (await whenGone(refs, endTimeoutMs)) return;
  const left = refs.filter(isAlive).map(({ pid }) => pid);
  throw new MeshError('INTERNAL', `processes do not end: ${left.join(', ')}`, { hint: 'try again' });
}

/** All but the state file: as long as it is there, nobody starts another cluster, whose files would be taken along. */
async function removeFiles({ stateDir, stateFile }: ClusterLayout): Promise<void> {
  const names = await readdir(stateDir).catch(() => []);
  for (const path of names.map((name) => join(stateDir, name)).filter((file) => file !== stateFile)) {
    await rm(path, { recursive: true, force: true });
  }
}

/** Everything of a cluster that this machine has: processes, namespaces, links, cgroups, mounts, files. */
export async function leftovers(layout: ClusterLayout): Promise<readonly string[]> {
  const { v1, v2 } = await cgroupTrees();
  const cgroups = [v2, ...v1].map(clusterCgroup);
  const processes = await processesIn(clusterCgroup(v2));
  const mounts = (await readFile('/proc/self/mountinfo', 'utf8'))
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .filter((point) => point.startsWith(`${layout.stateDir}/`) || point.includes(clusterPrefix));
  const link = existsSync(`/sys/class/net/${hostLink}`) ? [`link ${hostLink}`] : [];
  const files = (await readdir(layout.stateDir).catch(() => []))
    .map((name) => join(layout.stateDir, name))
    .filter((path) => path !== layout.stateFile);
  return [
    ...processes.map((pid) => `process ${pid}`),
    ...(await clusterNamespaces()).map((name) => `namespace ${name}`),
    ...mounts.map((point) => `mount ${point}`),
    ...link,
    ...cgroups.filter((path) => existsSync(path)),
    ...files,
  ];
}

/** Gives the claim back: what is left is not ours to remove. */
export async function refuseLeftovers(layout: ClusterLayout): Promise<void> {
  const left = await leftovers(layout);
  if (left.length === 0) return;
  await rm(layout.stateFile);
  throw new MeshError(
    'ALREADY_EXISTS',
    `something of another cluster is left: ${left.slice(0, 5).join(', ')}`,
    {
      hint: downHint,
    },
  );
}
