/**
 * The one place the mesh's state is kept. A single writer changes the state; everybody else reads immutable
 * versions and is told what changed. An object that is structurally equal to its predecessor keeps the
 * predecessor's identity and appears in no diff, so readers may compare with `===` and cache by object.
 */
import { isDeepStrictEqual } from 'node:util';
import { MeshError } from '../base/errors.ts';
import type { IpAddress } from '../base/ip.ts';
import type { Logger } from '../base/log.ts';
import type { NamespaceAccess } from './access.ts';
import { AddressClaims } from './claims.ts';
import { EarlyWorkloads, sameAddresses } from './early-workloads.ts';
import type {
  MeshChange,
  MeshConfig,
  MeshNode,
  MeshState,
  NodeName,
  Service,
  ServiceKey,
  Workload,
  WorkloadUid,
} from './mesh.ts';
import type { AuthorizationPolicy, PeerAuthentication, PolicyKey } from './policy.ts';
import { VersionedMap } from './versioned-map.ts';
import type { Change, MeshDiff, MeshReader, MeshView } from './view.ts';

type Listener = (view: MeshView, diff: MeshDiff) => void;

export interface MeshStoreDeps {
  readonly log: Logger;
}

export class MeshStore implements MeshReader {
  readonly #log: Logger;
  readonly #listeners = new Set<Listener>();
  readonly #workloadsByIp = new AddressClaims<Workload>(ownAddresses);
  readonly #servicesByVip = new AddressClaims<Service>((service) => service.vips);
  readonly #servicesByEndpoint = new AddressClaims<Service>((service) =>
    service.endpoints.map((endpoint) => endpoint.address),
  );
  /** In which order workloads arrived: the later of two with one address is the newer. */
  readonly #arrivals = new Map<WorkloadUid, number>();
  #arrived = 0;
  readonly #early = new EarlyWorkloads();
  #version: Version;
  #notifying = false;

  constructor({ log }: MeshStoreDeps, config: MeshConfig) {
    this.#log = log;
    this.#version = emptyVersion(config);
  }

  get view(): MeshView {
    return this.#version;
  }

  subscribe(listener: Listener): () => void {
    // Wrapped, so that one function may subscribe twice.
    const entry: Listener = (view, diff) => listener(view, diff);
    this.#listeners.add(entry);
    return () => void this.#listeners.delete(entry);
  }

  /** Makes `state` the current version: for a writer that knows whole states only. Costs what the state holds. */
  replace(state: MeshState): void {
    const { workloads, services, policies, peerAuthentications, access, nodes } = this.#version;
    this.apply({
      workloads: changesTowards(workloads, state.workloads, (workload) => workload.uid),
      services: changesTowards(services, state.services, (service) => service.key),
      policies: changesTowards(policies, state.policies, (policy) => policy.key),
      peerAuthentications: changesTowards(
        peerAuthentications,
        state.peerAuthentications,
        (policy) => policy.key,
      ),
      access: changesTowards(access, state.access ?? [], ({ key }) => key),
      nodes: changesTowards(nodes, state.nodes ?? [], (node) => node.name),
    });
  }

  /** Takes a change over, at its own cost. Nothing happens, and nobody is told, if it says nothing new. */
  apply(change: MeshChange): void {
    this.#commit({ ...change, workloads: this.#early.complete(change.workloads) });
  }

  /** Adds a workload, or newer addresses of one, that the source of `apply` will know only later. */
  announce(workload: Workload): void {
    const before = this.#version.workloads.get(workload.uid);
    if (before !== undefined && sameAddresses(workload.addresses, before.addresses)) return;
    this.#early.add(workload, before);
    this.#commit({ ...nothing, workloads: new Map([[workload.uid, workload]]) });
  }

  /** Takes an announcement back: from now on only the source's word counts. */
  withdraw(uid: WorkloadUid): void {
    if (!this.#early.has(uid)) return;
    this.#commit({ ...nothing, workloads: new Map([[uid, this.#early.remove(uid)]]) });
  }

  #commit(change: MeshChange): void {
    if (this.#notifying) throw new MeshError('INTERNAL', 'a listener of the mesh store tried to write to it');
    const { workloads, services, policies, peerAuthentications, access, nodes } = this.#version;
    const diff: MeshDiff = {
      workloads: news(workloads, change.workloads),
      services: news(services, change.services),
      policies: news(policies, change.policies),
      peerAuthentications: news(peerAuthentications, change.peerAuthentications),
      access: news(access, change.access ?? noAccess),
      nodes: news(nodes, change.nodes ?? noNodes),
    };
    if (Object.values(diff).every((changes: readonly unknown[]) => changes.length === 0)) return;
    this.#version = this.#next(diff);
    this.#notify(diff);
  }

  #next(diff: MeshDiff): Version {
    const last = this.#version;
    this.#recordArrivals(diff.workloads);
    const newest = (claimants: readonly Workload[]): Workload | undefined =>
      claimants.toSorted((a, b) => this.#seniority(a) - this.#seniority(b)).at(-1);
    return versionOf({
      version: last.version + 1,
      config: last.config,
      workloads: last.workloads.with(newValues(diff.workloads)),
      services: last.services.with(newValues(diff.services)),
      policies: last.policies.with(newValues(diff.policies)),
      peerAuthentications: last.peerAuthentications.with(newValues(diff.peerAuthentications)),
      access: last.access.with(newValues(diff.access)),
      nodes: last.nodes.with(newValues(diff.nodes)),
      byIp: last.byIp.with(mapValues(this.#workloadsByIp.update(diff.workloads), newest)),
      byVip: last.byVip.with(mapValues(this.#servicesByVip.update(diff.services), (all) => inOrder(all)[0])),
      byEndpoint: last.byEndpoint.with(
        mapValues(this.#servicesByEndpoint.update(diff.services), someInOrder),
      ),
    });
  }

  #recordArrivals(changes: MeshDiff['workloads']): void {
    for (const { key, before, after } of changes) {
      if (after === undefined) this.#arrivals.delete(key);
      else if (before === undefined) this.#arrivals.set(key, ++this.#arrived);
    }
  }

  /** Orders claimants of an address: terminating ones first, then by arrival. */
  #seniority(workload: Workload): number {
    const arrival = this.#arrivals.get(workload.uid) ?? 0;
    return workload.terminating ? arrival - this.#arrived - 1 : arrival;
  }

  #notify(diff: MeshDiff): void {
    this.#notifying = true;
    for (const listener of Array.from(this.#listeners)) {
      try {
        listener(this.#version, diff);
      } catch (error) {
        this.#log.error({ err: error }, 'a listener of the mesh store failed');
      }
    }
    this.#notifying = false;
  }
}

const noAccess: ReadonlyMap<PolicyKey, NamespaceAccess> = new Map();
const noNodes: ReadonlyMap<NodeName, MeshNode> = new Map();
const nothing: MeshChange = {
  workloads: new Map(),
  services: new Map(),
  policies: new Map(),
  peerAuthentications: new Map(),
};

interface VersionFields {
  readonly version: number;
  readonly config: MeshConfig;
  readonly workloads: VersionedMap<WorkloadUid, Workload>;
  readonly services: VersionedMap<ServiceKey, Service>;
  readonly policies: VersionedMap<PolicyKey, AuthorizationPolicy>;
  readonly peerAuthentications: VersionedMap<PolicyKey, PeerAuthentication>;
  readonly access: VersionedMap<PolicyKey, NamespaceAccess>;
  readonly nodes: VersionedMap<NodeName, MeshNode>;
  readonly byIp: VersionedMap<IpAddress, Workload>;
  readonly byVip: VersionedMap<IpAddress, Service>;
  readonly byEndpoint: VersionedMap<IpAddress, readonly Service[]>;
}

/** One version: the maps, and the look-ups in its indexes. */
type Version = VersionFields & MeshView;

const versionOf = (fields: VersionFields): Version => ({
  ...fields,
  workloadByIp: (ip) => fields.byIp.get(ip),
  serviceByVip: (ip) => fields.byVip.get(ip),
  servicesOfEndpoint: (ip) => fields.byEndpoint.get(ip) ?? [],
});

const emptyVersion = (config: MeshConfig): Version =>
  versionOf({
    version: 0,
    config,
    workloads: VersionedMap.empty(),
    services: VersionedMap.empty(),
    policies: VersionedMap.empty(),
    peerAuthentications: VersionedMap.empty(),
    access: VersionedMap.empty(),
    nodes: VersionedMap.empty(),
    byIp: VersionedMap.empty(),
    byVip: VersionedMap.empty(),
    byEndpoint: VersionedMap.empty(),
  });

/** A host-network workload has its node's address, which says nothing about who connects. */
const ownAddresses = (workload: Workload): readonly IpAddress[] =>
  workload.hostNetwork ? [] : workload.addresses;

const inOrder = (services: readonly Service[]): readonly Service[] =>
  services.toSorted((a, b) => (a.key < b.key ? -1 : 1));

const someInOrder = (services: readonly Service[]): readonly Service[] | undefined =>
  services.length === 0 ? undefined : inOrder(services);

/** Every value of `after` by its key, and undefined for every key that is in `before` alone. */
function changesTowards<K, V>(
  before: ReadonlyMap<K, V>,
  after: readonly V[],
  keyOf: (value: V) => K,
): ReadonlyMap<K, V | undefined> {
  const changes = new Map<K, V | undefined>(after.map((value) => [keyOf(value), value]));
  for (const key of before.keys()) if (!changes.has(key)) changes.set(key, undefined);
  return changes;
}

/** Those of the given values that differ from the present ones. */
function news<K, V extends object>(
  present: ReadonlyMap<K, V>,
  given: ReadonlyMap<K, V | undefined>,
): readonly Change<K, V>[] {
  const changes: Change<K, V>[] = [];
  for (const [key, after] of given) {
    const before = present.get(key);
    if (before !== after && !isDeepStrictEqual(before, after)) changes.push({ key, before, after });
  }
  return changes;
}

const newValues = <K, V>(changes: readonly Change<K, V>[]): Map<K, V | undefined> =>
  new Map(changes.map(({ key, after }) => [key, after]));

const mapValues = <K, V, W>(map: ReadonlyMap<K, V>, convert: (value: V) => W): Map<K, W> =>
  new Map(Array.from(map, ([key, value]) => [key, convert(value)]));
