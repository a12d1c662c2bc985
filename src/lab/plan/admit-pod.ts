/** A pod at `lab apply`: placed and addressed when it is new, relabelled when it exists. Pure. */
import { isDeepStrictEqual } from 'node:util';
import { MeshError } from '../../base/errors.ts';
import type { Pod } from '../../kube/objects.ts';
import type { LabNode } from '../topology.ts';
import { allocatePodIps } from './allocate.ts';
import type { Leases } from './allocate.ts';
import { isTerminating, pendingPod, podStatus } from './pod-status.ts';
import { schedule } from './schedule.ts';

export const accountOf = (pod: Pod): string =>
  pod.spec.serviceAccountName ?? pod.spec.serviceAccount ?? 'default';

export interface PlacedPod {
  readonly pod: Pod;
  readonly node: LabNode;
  /** The host number it took of the node's range. */
  readonly host: number;
}

/** @throws MeshError NOT_FOUND for an unknown node, OVERLOADED when it has no address left. */
export function placePod(
  pod: Pod,
  nodes: readonly LabNode[],
  others: readonly Pod[],
  leases: Leases,
): PlacedPod {
  const node = schedule(pod, nodes, others);
  const { host, ips } = allocatePodIps(node, others, leases[node.name] ?? 0);
  const podIPs = ips.map((ip) => ({ ip }));
  const spec = { ...pod.spec, nodeName: node.name, serviceAccountName: accountOf(pod) };
  const addressed = { ...pod, spec, status: { podIP: ips[0], podIPs } };
  return { pod: { ...addressed, status: podStatus(addressed, pendingPod, node.ipv4) }, node, host };
}

/**
 * As in Kubernetes a pod's labels can change; what it runs and where cannot.
 * @throws MeshError ALREADY_EXISTS when the manifest asks for another pod than the one that exists.
 */
export function updatePod(before: Pod, after: Pod): Pod {
  if (isTerminating(before)) {
    throw new MeshError('ALREADY_EXISTS', 'the pod of this name is still being deleted', {
      hint: 'try again in a moment',
    });
  }
  if (!isDeepStrictEqual({ ...after.spec, ...placement(before, after) }, before.spec)) {
    const { name, namespace } = before.metadata;
    throw new MeshError('ALREADY_EXISTS', 'a pod cannot be changed, apart from its labels and annotations', {
      hint: `first: mesh-ebpf lab delete pod ${name} -n ${namespace}`,
    });
  }
  return { ...before, metadata: after.metadata };
}

/** What the lab filled in, unless the manifest says something else now. */
const placement = (before: Pod, after: Pod): Partial<Pod['spec']> => ({
  ...(before.spec.nodeName === undefined ? {} : { nodeName: after.spec.nodeName ?? before.spec.nodeName }),
  serviceAccountName: accountOf(after),
});
