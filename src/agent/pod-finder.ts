/**
 * Which processes belong to which pod, read from the cgroup trees: the kubelet names a pod's cgroup after its UID,
 * with both cgroup drivers (`pod<uid>`, `kubepods-burstable-pod<uid_with_underscores>.slice`); what is below it is the
 * container runtime's. There may be several trees: cgroup v2, and on older or hybrid hosts one for each v1 controller.
 */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { WorkloadUid } from '../model/mesh.ts';

/** Deeper than any kubelet nests pods: root, slice, QoS class, pod, and a lab or test root above. */
const maxDepth = 6;

/** A UUID, or the hash by which the kubelet knows a static pod. */
const podCgroup = /(?:^|-)pod([0-9a-f]{8}[-_][0-9a-f-_]{20,}|[0-9a-f]{32})(?:\.slice)?$/;

/** A pod's cgroup directories, one a tree that has it, in the order of the trees. */
export type PodCgroups = Map<WorkloadUid, readonly string[]>;

/** The pods below `roots`. Unreadable branches are left out: they are going away. */
export async function findPodCgroups(roots: readonly string[]): Promise<PodCgroups> {
  const found: PodCgroups = new Map();
  for (const root of roots) await walk(root, maxDepth, found);
  return found;
}

async function walk(directory: string, depth: number, found: PodCgroups): Promise<void> {
  for (const name of await subdirectories(directory)) {
    const uid = podCgroup.exec(name)?.[1]?.replaceAll('_', '-') as WorkloadUid | undefined;
    const path = join(directory, name);
    if (uid !== undefined) found.set(uid, [...(found.get(uid) ?? []), path]);
    else if (depth > 1) await walk(path, depth - 1, found);
  }
}

/** Process ids in a pod's cgroup and the cgroups of its containers; empty when the pod is gone. */
export async function processesOf(cgroup: string): Promise<number[]> {
  const own = await readFile(join(cgroup, 'cgroup.procs'), 'utf8').catch(() => '');
  const pids = own.split('\n').filter(Boolean).map(Number);
  for (const name of await subdirectories(cgroup)) pids.push(...(await processesOf(join(cgroup, name))));
  return pids;
}

async function subdirectories(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
}
