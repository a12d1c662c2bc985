/** A small mesh for tests, in a few words: pods, Services over them, and policies. */
import { silentLogger } from '../../src/base/log.ts';
import { parseIp, parsePort, type Port, parseSocketAddress, type SocketAddress } from '../../src/base/ip.ts';
import type { NamespaceAccess } from '../../src/model/access.ts';
import { parseTrustDomain, spiffeId } from '../../src/model/identity.ts';
import {
  type Endpoint,
  type MeshConfig,
  type MeshNode,
  type NodeName,
  type Protocol,
  type Service,
  serviceKey,
  type Workload,
  type WorkloadUid,
} from '../../src/model/mesh.ts';
import type { AuthorizationPolicy, PeerAuthentication } from '../../src/model/policy.ts';
import { MeshStore } from '../../src/model/store.ts';

export const meshConfig: MeshConfig = {
  trustDomain: parseTrustDomain('cluster.local'),
  clusterDomain: 'cluster.local',
  clusterId: 'test',
  rootNamespace: 'istio-system',
  clusterDns: [{ type: 'service', service: serviceKey('kube-system', 'kube-dns') }],
};

export const at = (text: string): SocketAddress => parseSocketAddress(text);

export interface PodSpec {
  readonly ips: readonly string[];
  readonly node?: string;
  readonly protocol?: Protocol;
  readonly serviceAccount?: string;
  readonly labels?: Readonly<Record<string, string>>;
}

/** `pod('shop/web', {...})`; its UID is its name. */
export function pod(name: string, spec: PodSpec): Workload {
  const [namespace = '', podName = ''] = name.split('/');
  const serviceAccount = spec.serviceAccount ?? podName;
  return {
    uid: name as WorkloadUid,
    namespace,
    name: podName,
    serviceAccount,
    identity: spiffeId({ trustDomain: meshConfig.trustDomain, namespace, serviceAccount }),
    node: (spec.node ?? 'node-a') as NodeName,
    addresses: spec.ips.map(parseIp),
    protocol: spec.protocol ?? 'hbone',
    hostNetwork: false,
    terminating: false,
    owner: { name: podName, kind: 'deployment' },
    labels: spec.labels ?? {},
  };
}

export interface EndpointSpec {
  readonly address: string;
  readonly ready?: boolean;
  readonly serving?: boolean;
  readonly terminating?: boolean;
  readonly node?: string;
  readonly zones?: readonly string[];
}

/** `service('shop/web', '10.96.0.1', '80:8080', [...])`: every endpoint serves the one port. */
export function service(
  name: string,
  vip: string,
  ports: string,
  endpoints: readonly EndpointSpec[],
): Service {
  const [namespace = '', serviceName = ''] = name.split('/');
  const [port, target] = ports.split(':').map(parsePort) as [Port, Port];
  return {
    key: serviceKey(namespace, serviceName),
    namespace,
    name: serviceName,
    hostname: `${serviceName}.${namespace}.svc.cluster.local`,
    vips: [parseIp(vip)],
    ports: [{ name: 'tcp', port, protocol: 'tcp' }],
    endpoints: endpoints.map((given) => endpoint(given, port, target)),
  };
}

function endpoint(
  { address, terminating = false, node, zones, ...given }: EndpointSpec,
  port: Port,
  target: Port,
): Endpoint {
  const ready = given.ready ?? !terminating;
  return {
    address: parseIp(address),
    ports: new Map([[port, target]]),
    ready,
    serving: given.serving ?? (ready || terminating),
    terminating,
    ...(node === undefined ? {} : { node: node as NodeName }),
    ...(zones === undefined ? {} : { hints: { zones, nodes: [] } }),
  };
}

export interface MeshSpec {
  readonly workloads?: readonly Workload[];
  readonly services?: readonly Service[];
  readonly policies?: readonly AuthorizationPolicy[];
  readonly peerAuthentications?: readonly PeerAuthentication[];
  readonly access?: readonly NamespaceAccess[];
  readonly nodes?: readonly MeshNode[];
}

export function meshOf(spec: MeshSpec): MeshStore {
  const store = new MeshStore({ log: silentLogger }, meshConfig);
  store.replace({ workloads: [], services: [], policies: [], peerAuthentications: [], ...spec });
  return store;
}
