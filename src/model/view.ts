/** The read-only face of the model: what every component but the source may see. */
import type { IpAddress } from '../base/ip.ts';
import type { NamespaceAccess } from './access.ts';
import type { MeshConfig, MeshNode, NodeName, Service, ServiceKey, Workload, WorkloadUid } from './mesh.ts';
import type { AuthorizationPolicy, PeerAuthentication, PolicyKey } from './policy.ts';

/** One immutable version of the mesh. Look-ups are O(1). */
export interface MeshView {
  /** Grows by one with every change. */
  readonly version: number;
  readonly config: MeshConfig;
  readonly workloads: ReadonlyMap<WorkloadUid, Workload>;
  readonly services: ReadonlyMap<ServiceKey, Service>;
  /** The same map in every version in which no policy changed. */
  readonly policies: ReadonlyMap<PolicyKey, AuthorizationPolicy>;
  /** Likewise. */
  readonly peerAuthentications: ReadonlyMap<PolicyKey, PeerAuthentication>;
  readonly access: ReadonlyMap<PolicyKey, NamespaceAccess>;
  readonly nodes: ReadonlyMap<NodeName, MeshNode>;
  /** Whose address it is; never a host-network workload. Of several, the newest that is not terminating. */
  workloadByIp(ip: IpAddress): Workload | undefined;
  /** Of several services that claim one address, the first by key. */
  serviceByVip(ip: IpAddress): Service | undefined;
  /** Services that have `ip` among their endpoints. */
  servicesOfEndpoint(ip: IpAddress): readonly Service[];
}

export interface Change<K, V> {
  readonly key: K;
  readonly before: V | undefined;
  readonly after: V | undefined;
}

/** What changed between two versions; absent on both sides means nothing of that kind did. */
export interface MeshDiff {
  readonly workloads: readonly Change<WorkloadUid, Workload>[];
  readonly services: readonly Change<ServiceKey, Service>[];
  readonly policies: readonly Change<PolicyKey, AuthorizationPolicy>[];
  readonly peerAuthentications: readonly Change<PolicyKey, PeerAuthentication>[];
  readonly access: readonly Change<PolicyKey, NamespaceAccess>[];
  readonly nodes: readonly Change<NodeName, MeshNode>[];
}

/** Read access for components: the current view, and every later one with its diff. */
export interface MeshReader {
  readonly view: MeshView;
  /** Listeners run synchronously, in order; one that throws is logged and does not stop the others. */
  subscribe(listener: (view: MeshView, diff: MeshDiff) => void): () => void;
}
