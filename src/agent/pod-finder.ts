/**
 * Which processes belong to which pod, read from the cgroup tree: the kubelet names a pod's cgroup after its UID,
 * with both cgroup drivers (`pod<uid>`, `kubepods-burstable-pod<uid_with_underscores>.slice`) and every runtime.
 */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { WorkloadUid } from '../model/mesh.ts';

/** Deeper than any kubelet nests pods: root, slice, QoS class, pod, and a lab or test root above. */
const maxDepth = 6;

const podCgroup = /(?:^|-)pod([0-9a-f]{8}[-_][0-9a-f-_]{20,})(?:\.slice)?$/;

/** Cgroup directories of pods below `root`, by pod UID. Unreadable branches are left out: they are going away. */
export async function findPodCgroups(root: string): Promise<Map<WorkloadUid, string>> {
  const found = new Map<WorkloadUid, string>();
  await walk(root, maxDepth, found);
  return found;
}

async function walk(directory: string, depth: number, found: Map<WorkloadUid, string>): Promise<void> {
  const names = await subdirectories(directory);
  for (const name of names) {
    const uid = podCgroup.exec(name)?.[1]?.replaceAll('_', '-') as WorkloadUid | undefined;
    if (uid !== undefined) found.set(uid, join(directory, name));
    else if (depth > 1) await walk(join(directory, name), depth - 1, found);
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
