/**
 * What a cluster would add to the objects that somebody wrote: a node, an address and readiness for pods, addresses for
 * Services, EndpointSlices for what they select. Made up where the files do not say, the same for the same files. Pure.
 */
import { MeshError } from '../../base/errors.ts';
import {
  isOfKind,
  type Pod,
  type Service,
  serviceNameLabel,
  type SourcedObject,
} from '../../kube/objects.ts';
import { endpointSlices } from '../../lab/plan/endpoint-slices.ts';

/** Set aside for measurements (RFC 2544), so that no real policy is about them. */
const podBlock = '198.18';
const serviceBlock = '198.19';
export const madeUpBlock = '198.18.0.0/15';

const madeUpNode = 'some-node';

export interface Completed {
  readonly objects: readonly SourcedObject[];
  /** Pods that got an address. */
  readonly madeUp: number;
}

export function complete(written: readonly SourcedObject[]): Completed {
  let madeUp = 0;
  const nextPodIp = addressesIn(podBlock);
  const nextServiceIp = addressesIn(serviceBlock);
  const objects = written.map((sourced): SourcedObject => {
    if (isOfKind(sourced, 'Pod')) {
      const isPlaced = sourced.object.status !== undefined;
      if (!isPlaced) madeUp += 1;
      return { ...sourced, object: placed(sourced.object, nextPodIp) };
    }
    if (isOfKind(sourced, 'Service')) return { ...sourced, object: addressed(sourced.object, nextServiceIp) };
    return sourced;
  });
  return { objects: [...objects, ...missingSlices(objects)], madeUp };
}

/** A pod with a status is as its status says. */
function placed(pod: Pod, nextIp: () => string): Pod {
  const spec = { ...pod.spec, nodeName: pod.spec.nodeName ?? madeUpNode };
  if (pod.status !== undefined) {
    const { podIP, podIPs = podIP === undefined ? [] : [{ ip: podIP }] } = pod.status;
    return { ...pod, spec, status: { ...pod.status, podIPs } };
  }
  const ip = nextIp();
  const ready = { type: 'Ready', status: 'True' } as const;
  return { ...pod, spec, status: { phase: 'Running', podIP: ip, podIPs: [{ ip }], conditions: [ready] } };
}

function addressed(service: Service, nextIp: () => string): Service {
  const { type, clusterIP, clusterIPs } = service.spec;
  const hasAddress = clusterIP !== undefined || clusterIPs !== undefined;
  if (hasAddress || type === 'ExternalName') return service;
  return { ...service, spec: { ...service.spec, clusterIP: nextIp() } };
}

/** Of Services of which the files have none. */
function missingSlices(objects: readonly SourcedObject[]): readonly SourcedObject[] {
  const described = new Set(
    objects.flatMap((sourced) =>
      isOfKind(sourced, 'EndpointSlice')
        ? `${sourced.object.metadata.namespace}/${sourced.object.metadata.labels?.[serviceNameLabel]}`
        : [],
    ),
  );
  const services = objects
    .flatMap((sourced) => (isOfKind(sourced, 'Service') ? sourced.object : []))
    .filter(({ metadata }) => !described.has(`${metadata.namespace}/${metadata.name}`));
  const pods = objects.flatMap((sourced) => (isOfKind(sourced, 'Pod') ? sourced.object : []));
  const nodes = new Set(pods.flatMap(({ spec }) => spec.nodeName ?? []));
  return [...nodes].flatMap((node) =>
    endpointSlices(node, services, pods).map((object) => ({ object, position: undefined })),
  );
}

/** One address of the block after the other. @throws MeshError INVALID_ARGUMENT when there are no more */
function addressesIn(block: string): () => string {
  let next = 0;
  return () => {
    next += 1;
    if (next > 65_534) {
      throw new MeshError(
        'INVALID_ARGUMENT',
        'the files have more pods or Services without an address than can be made up',
      );
    }
    return `${block}.${next >> 8}.${next & 255}`;
  };
}
