/** What a kubelet writes: its pods' status, its EndpointSlices, and the removal of pods that are gone. Pure. */
import { isDeepStrictEqual } from 'node:util';
import type { EndpointSlice, KubeObject, Pod } from '../../kube/objects.ts';
import { objectKey } from '../../kube/objects.ts';
import type { LabNode } from '../topology.ts';
import { endpointSlices } from './endpoint-slices.ts';
import { objectsOfKind } from './objects.ts';
import type { Changes, Objects } from './objects.ts';
import { podStatus } from './pod-status.ts';
import type { PodCondition } from './pod-status.ts';

/** Marks the slices a kubelet owns: it removes those it no longer wants. */
export const ownerLabel = 'mesh-ebpf.io/lab-node';

export interface LocalPods {
  /** By uid; pods nobody knows yet are left as they are. */
  readonly conditions: ReadonlyMap<string, PodCondition>;
  /** Uids of pods of which nothing is left. */
  readonly gone: ReadonlySet<string>;
}

/** The changes that make `objects` say what this node knows. */
export function publish(objects: Objects, node: LabNode, local: LocalPods): Changes {
  const isGone = (pod: Pod): boolean => local.gone.has(pod.metadata.uid ?? '');
  const before = objectsOfKind(objects, 'Pod').filter((pod) => pod.spec.nodeName === node.name);
  const pods = before.filter((pod) => !isGone(pod)).map((pod) => withStatus(pod, node, local));
  const services = objectsOfKind(objects, 'Service');
  const slices = endpointSlices(node.name, services, pods).map((slice) => owned(slice, node));
  const wanted = new Map<string, KubeObject>(
    [...pods, ...slices].map((object) => [objectKey(object), object]),
  );
  const own = objectsOfKind(objects, 'EndpointSlice').filter(
    ({ metadata }) => metadata.labels?.[ownerLabel] === node.name,
  );
  return {
    write: [...wanted]
      .filter(([key, object]) => !isDeepStrictEqual(objects.get(key), object))
      .map(([, object]) => object),
    remove: [...before.filter(isGone), ...own.filter((slice) => !wanted.has(objectKey(slice)))],
  };
}

function withStatus(pod: Pod, node: LabNode, local: LocalPods): Pod {
  const condition = local.conditions.get(pod.metadata.uid ?? '');
  return condition === undefined ? pod : { ...pod, status: podStatus(pod, condition, node.ipv4) };
}

const owned = (slice: EndpointSlice, node: LabNode): EndpointSlice => ({
  ...slice,
  metadata: { ...slice.metadata, labels: { ...slice.metadata.labels, [ownerLabel]: node.name } },
});
