/**
 * The mesh as data: everything the data path decides on, in the mesh's own terms. Sources (`src/kube`) translate
 * Kubernetes objects into it; nothing here knows where it came from. All values are immutable.
 */
import type { Brand } from '../base/brand.ts';
import type { IpAddress, Port } from '../base/ip.ts';
import type { EgressTarget, NamespaceAccess } from './access.ts';
import type { SpiffeId, TrustDomain } from './identity.ts';
import type { AuthorizationPolicy, PeerAuthentication, PolicyKey } from './policy.ts';

/** A pod's UID: what tells a pod from its namesake successor. */
export type WorkloadUid = Brand<string, 'WorkloadUid'>;
export type NodeName = Brand<string, 'NodeName'>;
/** `NAMESPACE/NAME` of a Service. */
export type ServiceKey = Brand<string, 'ServiceKey'>;

/** How a workload takes connections: through HBONE (it is in the mesh) or as plain TCP. */
export type Protocol = 'hbone' | 'tcp';

export interface Workload {
  readonly uid: WorkloadUid;
  /** A static pod is known to its node by another UID (cgroups, CNI) than to the API server. */
  readonly nodeUid?: WorkloadUid;
  readonly namespace: string;
  readonly name: string;
  readonly serviceAccount: string;
  readonly identity: SpiffeId;
  readonly node: NodeName;
  readonly addresses: readonly IpAddress[];
  readonly protocol: Protocol;
  /** Shares its node's network namespace: never enrolled, and its address is the node's. */
  readonly hostNetwork: boolean;
  /** Its annotation tells everybody that it is in the mesh. Known of the own node's pods only. */
  readonly annotated?: true;
  /** Asks for HBONE between itself and pods of its own node, too. */
  readonly sameNode?: 'hbone';
  /** Asks for acceleration of its connections within the node, or forbids it. */
  readonly accelerate?: boolean;
  /** Being deleted: takes no new connections when another endpoint can. */
  readonly terminating: boolean;
  /** The owner's name and kind where known, for telemetry ("web", "deployment"). */
  readonly owner: { readonly name: string; readonly kind: string };
  readonly labels: Readonly<Record<string, string>>;
}

export interface ServicePort {
  readonly name: string;
  readonly port: Port;
  readonly protocol: 'tcp' | 'udp' | 'sctp';
}

/** One address that may serve a Service, with its own port for each of the Service's TCP ports. */
export interface Endpoint {
  readonly address: IpAddress;
  /** Service port → port on this endpoint. A port that is absent is not served here. */
  readonly ports: ReadonlyMap<Port, Port>;
  /** Takes connections: it answers its readiness probe and is not leaving, or its Service wants it anyway. */
  readonly ready: boolean;
  /** Answers its readiness probe, leaving or not. While it leaves, it is the last resort when nothing is ready. */
  readonly serving: boolean;
  readonly terminating: boolean;
  /** The pod that has the address, where whoever made the endpoint says so. */
  readonly pod?: WorkloadUid;
  /** Where it runs, if it is a pod. */
  readonly node?: NodeName;
  /** Clients of which zones and nodes shall use it; absent: whoever wrote the endpoints does not say. */
  readonly hints?: TopologyHints;
}

export interface TopologyHints {
  readonly zones: readonly string[];
  readonly nodes: readonly string[];
}

export interface Service {
  readonly key: ServiceKey;
  readonly namespace: string;
  readonly name: string;
  /** Fully qualified, `web.shop.svc.cluster.local`. */
  readonly hostname: string;
  /** Virtual addresses; empty for a headless Service. */
  readonly vips: readonly IpAddress[];
  readonly ports: readonly ServicePort[];
  readonly endpoints: readonly Endpoint[];
  /** Clients use endpoints of their own node, or none (`internalTrafficPolicy: Local`). */
  readonly nodeLocal?: true;
  /** A client's connections go to one endpoint until it has made none for so long (`sessionAffinity: ClientIP`). */
  readonly affinityTimeoutMs?: number;
}

/** A machine of the cluster: what the choice of endpoints asks of it. */
export interface MeshNode {
  readonly name: NodeName;
  readonly zone: string | undefined;
}

export interface MeshConfig {
  readonly trustDomain: TrustDomain;
  readonly clusterDomain: string;
  readonly clusterId: string;
  /** Policies of this namespace apply in every namespace; `istio-system` where Istio is or was. */
  readonly rootNamespace: string;
  /** Who answers DNS: port 53 there is open to every pod that no rule denies it to. */
  readonly clusterDns: readonly EgressTarget[];
}

/** One consistent state of the world, as a source hands it over. Keys are unique within each list. */
export interface MeshState {
  /** Oldest first: where two claim one address (a pod's IP is reused), the store believes the later. */
  readonly workloads: readonly Workload[];
  readonly services: readonly Service[];
  readonly policies: readonly AuthorizationPolicy[];
  readonly peerAuthentications: readonly PeerAuthentication[];
  readonly access?: readonly NamespaceAccess[];
  /** Those the source knows: a node's own, often no other. */
  readonly nodes?: readonly MeshNode[];
}

/** What is different from the state before: new values by key, undefined for what is gone. */
export interface MeshChange {
  /** Where two claim one address, the store believes the one that came later, here too in order. */
  readonly workloads: ReadonlyMap<WorkloadUid, Workload | undefined>;
  readonly services: ReadonlyMap<ServiceKey, Service | undefined>;
  readonly policies: ReadonlyMap<PolicyKey, AuthorizationPolicy | undefined>;
  readonly peerAuthentications: ReadonlyMap<PolicyKey, PeerAuthentication | undefined>;
  /** Absent: none of them changed. */
  readonly access?: ReadonlyMap<PolicyKey, NamespaceAccess | undefined>;
  readonly nodes?: ReadonlyMap<NodeName, MeshNode | undefined>;
}

export const serviceKey = (namespace: string, name: string): ServiceKey =>
  `${namespace}/${name}` as ServiceKey;
