/**
 * The cluster's cgroups, in every tree the host has: one with cgroup v2 alone, the controllers of v1, or both (the
 * hybrid layout). The tree of v2 says what is ours: every process of the cluster is in it.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { mountPoints, requireCgroup2 } from '../../../src/base/mounts.ts';
import { makeCgroup, removeCgroup } from '../../../src/lab/system/cgroup.ts';
import { clusterCgroup, type ClusterNode, controlCgroup, nodeCgroup, systemCgroup } from '../plan/layout.ts';

export interface CgroupTrees {
  readonly v2: string;
  /** One mount point a controller; none on a host with v2 alone. */
  readonly v1: readonly string[];
}

/** @throws MeshError UNSUPPORTED without cgroup v2 */
export async function cgroupTrees(): Promise<CgroupTrees> {
  const mounts = await readFile('/proc/mounts', 'utf8');
  const v1 = mountPoints(mounts, 'cgroup').filter((point) => point.startsWith('/sys/fs/cgroup/'));
  return { v2: requireCgroup2(mounts), v1: [...new Set(v1)] };
}

export async function makeControlCgroup({ v2 }: CgroupTrees): Promise<void> {
  await makeCgroup(controlCgroup(v2));
}

export async function makeNodeCgroups({ v1, v2 }: CgroupTrees, node: ClusterNode): Promise<void> {
  await makeCgroup(systemCgroup(v2, node));
  // The kubelet wants to limit its pods: the controllers have to be passed on from the root.
  for (const path of [v2, clusterCgroup(v2), nodeCgroup(v2, node)]) await passOnControllers(path);
  for (const tree of v1) {
    await makeCgroup(nodeCgroup(tree, node));
    for (const path of [clusterCgroup(tree), nodeCgroup(tree, node)]) await fillCpuset(path);
  }
}

/** One by one: a controller that cannot be passed on (real-time processes hold `cpu`) keeps none of the others. */
async function passOnControllers(path: string): Promise<void> {
  const controllers = (await readFile(join(path, 'cgroup.controllers'), 'utf8')).split(/\s+/);
  for (const name of controllers.filter((word) => word !== '')) {
    await writeFile(join(path, 'cgroup.subtree_control'), `+${name}`).catch(() => {});
  }
}

/** In v1, a new cpuset may run nowhere until it is told. */
async function fillCpuset(path: string): Promise<void> {
  for (const name of ['cpuset.cpus', 'cpuset.mems']) {
    const inherited = await readFile(join(path, '..', name), 'utf8').catch(() => undefined);
    if (inherited !== undefined) await writeFile(join(path, name), inherited);
  }
}

/** They must be empty. */
export async function removeNodeCgroups({ v1, v2 }: CgroupTrees, node: ClusterNode): Promise<void> {
  for (const tree of [v2, ...v1]) await removeCgroup(nodeCgroup(tree, node));
}

export async function removeClusterCgroups({ v1, v2 }: CgroupTrees): Promise<void> {
  for (const tree of [v2, ...v1]) await removeCgroup(clusterCgroup(tree));
}
