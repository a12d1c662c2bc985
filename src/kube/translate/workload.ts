/** Pod → workload: who it is, where it runs, whether its traffic goes through the mesh. Pure. */
import { MeshError } from '../../base/errors.ts';
import { type IpAddress, tryParseIp } from '../../base/ip.ts';
import { type SpiffeId, spiffeId } from '../../model/identity.ts';
import type { MeshConfig, NodeName, Protocol, Workload, WorkloadUid } from '../../model/mesh.ts';
import type { PendingWorkload } from '../../model/pod-lookup.ts';
import type { Pod, SourcedObject } from '../objects.ts';
import type { Problem } from '../problem.ts';
import { objectProblem } from './problem.ts';

/** Puts a namespace, or a single pod, into the mesh: `ambient`; or takes a pod out of it: `none` (Istio's label). */
export const dataplaneModeLabel = 'istio.io/dataplane-mode';

/**
 * How a namespace's pods, or a single pod, reach pods of their own node where the node offers a choice: `hbone` keeps
 * them to mutual TLS through ztunnel, `kernel` takes a pod out of its namespace's wish.
 */
export const sameNodeAnnotation = 'mesh-ebpf.io/same-node';

/** Whether their connections within the node may be accelerated, where the node does that: `true` asks for it. */
export const accelerateAnnotation = 'mesh-ebpf.io/accelerate';

/** Left by Istio's sidecar injector: such a pod captures its own traffic. */
const sidecarAnnotation = 'sidecar.istio.io/status';

/** Set by the kubelet on the API server's copy of a static pod: the UID by which the node knows it. */
const staticPodUidAnnotation = 'kubernetes.io/config.hash';

/** Set by the node that captures the pod (`src/kube/report`). Istio's, as are its values. */
export const redirectionAnnotation = 'ambient.istio.io/redirection';

/** `workload` is undefined for a pod that has no address (yet, or any more), and for one with a problem. */
export interface TranslatedPod {
  readonly workload: Workload | undefined;
  readonly problem: Problem | undefined;
}

export function translatePod(
  sourced: SourcedObject<Pod>,
  wishes: NamespaceWishes,
  config: MeshConfig,
): TranslatedPod {
  const pod = sourced.object;
  const nothing = { workload: undefined, problem: undefined };
  if (pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed') return nothing;
  const given = givenAddresses(pod);
  if (given.length === 0) return nothing;
  const refuse = (field: string, message: string): TranslatedPod => ({
    workload: undefined,
    problem: objectProblem(sourced, field, message),
  });
  const addresses = given.map(tryParseIp).filter((ip): ip is IpAddress => ip !== undefined);
  if (addresses.length < given.length) return refuse('status.podIPs', 'not all of them are IP addresses');
  const pending = pendingWorkload(sourced, wishes, config);
  if ('problem' in pending) return { workload: undefined, problem: pending.problem };
  return { workload: { ...pending, addresses }, problem: undefined };
}

/** All there is to know of a pod but its addresses. */
export function pendingWorkload(
  sourced: SourcedObject<Pod>,
  wishes: NamespaceWishes,
  config: MeshConfig,
): PendingWorkload | { readonly problem: Problem } {
  const pod = sourced.object;
  const refuse = (field: string, message: string) => ({ problem: objectProblem(sourced, field, message) });
  const node = pod.spec.nodeName;
  if (node === undefined) return refuse('spec.nodeName', 'missing, although the pod runs');
  const identity = identityOf(pod, config);
  if (identity === undefined) {
    return refuse('spec.serviceAccountName', 'namespace and service account do not make a SPIFFE ID');
  }
  return workload({ pod, node, identity, wishes });
}

/** The pod's addresses, each once, as the kubelet reports them. */
const givenAddresses = ({ status }: Pod): readonly string[] => [
  ...new Set([
    ...(status?.podIP === undefined || status.podIP === '' ? [] : [status.podIP]),
    ...(status?.podIPs ?? []).map(({ ip }) => ip),
  ]),
];

export const serviceAccountOf = ({ spec }: Pod): string =>
  spec.serviceAccountName ?? spec.serviceAccount ?? 'default';

function identityOf(pod: Pod, { trustDomain }: MeshConfig): SpiffeId | undefined {
  try {
    return spiffeId({
      trustDomain,
      namespace: pod.metadata.namespace,
      serviceAccount: serviceAccountOf(pod),
    });
  } catch (error) {
    if (error instanceof MeshError && error.code === 'IDENTITY_INVALID') return undefined;
    throw error;
  }
}

/** What a namespace's pods do that say nothing themselves; undefined: it does not say either, or is not known. */
export interface NamespaceWishes {
  /** The dataplane-mode label. */
  readonly mode: string | undefined;
  /** The same-node annotation. */
  readonly sameNode: string | undefined;
  /** The accelerate annotation. */
  readonly accelerate: string | undefined;
}

interface PodFacts {
  readonly pod: Pod;
  readonly node: string;
  readonly identity: SpiffeId;
  readonly wishes: NamespaceWishes;
}

function workload({ pod, node, identity, wishes }: PodFacts): PendingWorkload {
  const { namespace, name, uid, labels = {}, annotations, deletionTimestamp } = pod.metadata;
  const accelerate = annotations?.[accelerateAnnotation] ?? wishes.accelerate;
  const nodeUid = annotations?.[staticPodUidAnnotation] as WorkloadUid | undefined;
  return {
    // A manifest somebody wrote has no UID; its name is unique as long as nobody writes a second one.
    uid: (uid ?? `${namespace}/${name}`) as WorkloadUid,
    ...(nodeUid === undefined ? {} : { nodeUid }),
    namespace,
    name,
    serviceAccount: serviceAccountOf(pod),
    identity,
    node: node as NodeName,
    protocol: protocolOf(pod, wishes),
    hostNetwork: pod.spec.hostNetwork === true,
    ...(wantsHbone(annotations?.[sameNodeAnnotation] ?? wishes.sameNode) ? { sameNode: 'hbone' } : {}),
    // A value nobody knows is taken for a no.
    ...(accelerate === undefined ? {} : { accelerate: accelerate === 'true' }),
    terminating: deletionTimestamp !== undefined,
    ...(annotations?.[redirectionAnnotation] === 'enabled' ? { annotated: true } : {}),
    owner: ownerOf(pod),
    labels,
  };
}

/** A value nobody knows is taken for the stricter one. */
const wantsHbone = (wish: string | undefined): boolean => wish !== undefined && wish !== 'kernel';

/** The pod's own label decides; without one, its namespace's. */
function protocolOf({ metadata, spec }: Pod, wishes: NamespaceWishes): Protocol {
  const hasSidecar = metadata.annotations?.[sidecarAnnotation] !== undefined;
  if (spec.hostNetwork === true || hasSidecar) return 'tcp';
  const mode = metadata.labels?.[dataplaneModeLabel] ?? wishes.mode;
  return mode === 'ambient' ? 'hbone' : 'tcp';
}

/** What a person deployed: a Deployment's pods belong to a ReplicaSet, a CronJob's to a Job, named after it. */
function ownerOf({ metadata }: Pod): Workload['owner'] {
  const owner = metadata.ownerReferences?.find((reference) => reference.controller === true);
  if (owner === undefined) return { name: metadata.name, kind: 'pod' };
  const hash = metadata.labels?.['pod-template-hash'];
  if (owner.kind === 'ReplicaSet' && hash !== undefined && owner.name.endsWith(`-${hash}`)) {
    return { name: owner.name.slice(0, -hash.length - 1), kind: 'deployment' };
  }
  // A CronJob appends its schedule's time, in minutes since the epoch.
  const cronJob = owner.kind === 'Job' ? /^(.+)-\d{8,10}$/.exec(owner.name)?.[1] : undefined;
  if (cronJob !== undefined) return { name: cronJob, kind: 'cronjob' };
  return { name: owner.name, kind: owner.kind.toLowerCase() };
}
