/**
 * The pods that run: a network namespace with the pod's address, and a process in a cgroup of the pod's UID, as a
 * kubelet and a container runtime leave them. That is all by which a node program finds a pod.
 */
import { join } from 'node:path';
import { makeCgroup } from '../../src/lab/system/cgroup.ts';
import { inCgroup } from '../../src/lab/system/enter.ts';
import { inNode, startRecorded } from '../cluster/machine/daemons.ts';
import { nodeCgroup } from '../cluster/plan/layout.ts';
import type { BareCluster } from './cluster.ts';
import { create, type Placed, run, runningPod, runningPods } from './objects.ts';

/** A veth pair rather than a dummy device, which not every kernel has. */
const script = `set -e
ip link set lo up
ip link add eth0 type veth peer name eth1
ip addr add "$0/24" dev eth0
ip link set eth0 up
ip link set eth1 up
ip route add default dev eth0
exec sleep infinity`;

/** Makes them, first for real and then in the API. */
export async function startRealPods(cluster: BareCluster): Promise<void> {
  for (let i = 0; i < runningPods; i++) {
    const pod = runningPod(i);
    const { metadata } = (await cluster.api().call(create(pod))) as { metadata: { uid: string } };
    await startProcess(cluster, pod, metadata.uid);
    await cluster.api().call(run(pod));
  }
}

async function startProcess(
  { running, node }: BareCluster,
  { name, ip }: Placed,
  uid: string,
): Promise<void> {
  const { layout, trees, bin } = running.machine;
  const cgroup = join(nodeCgroup(trees.v2, node), 'kubepods', `pod${uid}`);
  await makeCgroup(cgroup);
  const argv = await inNode(layout, node, ['unshare', '--net', '/bin/sh', '-c', script, ip]);
  await startRecorded(layout, `pod-${name}`, inCgroup(cgroup, argv), bin);
}
