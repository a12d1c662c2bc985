/** A mesh as manifests describe it, translated by the code that the nodes run: for commands that need no cluster. */
import { silentLogger } from '../../base/log.ts';
import type { Port } from '../../base/ip.ts';
import { parsePort } from '../../base/ip.ts';
import { parseTrustDomain } from '../../model/identity.ts';
import { type MeshConfig, serviceKey, type Workload } from '../../model/mesh.ts';
import { MeshStore } from '../../model/store.ts';
import type { MeshView } from '../../model/view.ts';
import { decode } from '../../kube/decode.ts';
import { isOfKind, type Pod, type SourcedObject } from '../../kube/objects.ts';
import { type ForeignObject, type ManifestFile, parseManifests } from '../../kube/parse-manifests.ts';
import { formatField, type Problem } from '../../kube/problem.ts';
import { type NetworkPolicyObject, NetworkPolicySchema } from '../../kube/resources/network-policy.ts';
import { translateNetworkPolicy } from '../../kube/translate/network-policy.ts';
import { Translator } from '../../kube/translate/translator.ts';
import type { NetworkPolicy } from '../../policy/lint/input.ts';
import { completed, makesPods, podOf } from './pods.ts';

export interface OfflineMesh {
  readonly view: MeshView;
  /** What could not be read, then what could not be translated. */
  readonly problems: readonly Problem[];
  readonly networkPolicies: readonly NetworkPolicy[];
  readonly namespaces: ReadonlySet<string>;
  /** What the pod's containers name. */
  readonly declaredPorts: (workload: Workload) => readonly Port[];
  /** Kinds of objects that were not looked at, and how many of each. */
  readonly ignored: ReadonlyMap<string, number>;
}

/** The settings that a mesh has unless it is told otherwise. */
export const offlineConfig = (trustDomain = 'cluster.local', rootNamespace = 'istio-system'): MeshConfig => ({
  trustDomain: parseTrustDomain(trustDomain),
  clusterDomain: 'cluster.local',
  clusterId: 'Kubernetes',
  rootNamespace,
  clusterDns: [{ type: 'service', service: serviceKey('kube-system', 'kube-dns') }],
});

export function offlineMesh(files: readonly ManifestFile[], config: MeshConfig): OfflineMesh {
  const foreign: ForeignObject[] = [];
  const parsed = parseManifests(files, { strict: true, foreign: (object) => foreign.push(object) });
  const network = foreign.filter(({ kind }) => kind === 'NetworkPolicy').map(readNetworkPolicy);
  const made = foreign.flatMap((object) => (makesPods(object) ? (podOf(object) ?? []) : []));
  const objects = completed([...parsed.objects, ...made]);
  const translator = new Translator(config);
  const store = new MeshStore({ log: silentLogger }, config);
  store.apply(translator.apply({ set: objects, deleted: [] }));
  const ports = portsByPod(objects);
  return {
    view: store.view,
    problems: [...parsed.errors, ...network.flatMap(({ problems }) => problems), ...translator.problems],
    networkPolicies: network.flatMap(({ policy }) => policy ?? []),
    namespaces: new Set(
      objects.flatMap((sourced) => (isOfKind(sourced, 'Namespace') ? [sourced.object.metadata.name] : [])),
    ),
    declaredPorts: ({ namespace, name }) => ports.get(`${namespace}/${name}`) ?? [],
    ignored: countedByKind(foreign.filter((object) => !isRead(object))),
  };
}

const isRead = (object: ForeignObject): boolean => object.kind === 'NetworkPolicy' || makesPods(object);

function countedByKind(objects: readonly ForeignObject[]): ReadonlyMap<string, number> {
  return new Map([...Map.groupBy(objects, ({ kind }) => kind)].map(([kind, { length }]) => [kind, length]));
}

interface ReadNetworkPolicy {
  readonly policy: NetworkPolicy | undefined;
  readonly problems: readonly Problem[];
}

function readNetworkPolicy({ value, position }: ForeignObject): ReadNetworkPolicy {
  const { value: decoded, faults } = decode(NetworkPolicySchema, value, { strict: true });
  if (faults.length === 0) {
    return { policy: translateNetworkPolicy(decoded as NetworkPolicyObject), problems: [] };
  }
  const problems = faults.map(({ path, message, hint }): Problem => ({
    severity: 'error',
    object: undefined,
    position,
    field: formatField(path),
    message: `NetworkPolicy: ${message}`,
    hint,
  }));
  return { policy: undefined, problems };
}

function portsByPod(objects: readonly SourcedObject[]): ReadonlyMap<string, readonly Port[]> {
  const pods = objects.flatMap((sourced) => (isOfKind(sourced, 'Pod') ? [sourced.object] : []));
  return new Map(pods.map((pod) => [`${pod.metadata.namespace}/${pod.metadata.name}`, tcpPortsOf(pod)]));
}

const tcpPortsOf = ({ spec: { containers, initContainers = [] } }: Pod): readonly Port[] =>
  [...containers, ...initContainers]
    .flatMap(({ ports = [] }) => ports)
    .filter(({ protocol = 'TCP' }) => protocol === 'TCP')
    .map(({ containerPort }) => parsePort(containerPort));
