/**
 * The catalogue of BPF maps, in step with `bpf/include/maps.h`: what each is for, how big it is and what its size
 * bounds, and how its entries read. Everything that lists, opens or sizes maps goes by this table.
 */
import { type Field, address, nothing, u32, u64 } from './abi/field.ts';
import * as layout from './abi/layout.ts';
import { counterNames } from './abi/counters.ts';
import * as serviceLayout from './abi/service-layout.ts';
import * as egressLayout from './abi/egress-layout.ts';
import * as accelerationLayout from './abi/acceleration-layout.ts';

/** The sizes an operator may set, in entries. */
export interface MapSizes {
  /** Pods enrolled on this node at a time. */
  readonly pods: number;
  /** Addresses of meshed workloads and their Services, in the whole mesh. */
  readonly destinations: number;
  /** Connections being captured, plus open ones of the node and of ztunnel to pods of this node. */
  readonly flows: number;
  /** Prefixes that NamespaceAccess objects name, an address of a Service or a pod each counting, for this node's pods. */
  readonly egress: number;
  /** Pairs of pods of this node, by address and port, that reach each other on the kernel path. */
  readonly verdicts: number;
}

// Entries cost memory when they are used; an empty map costs 16 bytes for each possible entry.
export const defaultMapSizes: MapSizes = {
  pods: 1024,
  destinations: 262_144,
  flows: 65_536,
  egress: 65_536,
  // Of a kind that takes its memory at once: 2 MB.
  verdicts: 16_384,
};

/** Addresses a pod may have: two families, twice. */
const addressesPerPod = 4;

/** Ports of Services that a pod is behind, in each family: of all pods together, so that some may have hundreds. */
const servedPerPod = 16;

/** Services with sessions that a pod calls, by port: of all pods together, too. */
const sessionsPerPod = 16;

/** Some thousand refusals; a power of two, in bytes. */
const denialBytes = 262_144;
const denialRateEntries = 4096;

/** Some thousand ended connections, of a tenth of a second in a storm; a power of two, in bytes. */
const endedBytes = 1_048_576;

/** Connections whose SYN has not been looked up yet. */
const strayEntries = 1024;

/** Of accelerated connections: fewer than there may be, for those that are not are none the worse. */
const endsFor = ({ flows }: MapSizes): number => Math.max(2, flows / 4);

/** Questions for a namespace's cookie that may be open at a time. */
const cookieEntries = 64;

export interface MapSpec<K, V> {
  readonly name: string;
  readonly purpose: string;
  /** What stops when the map is full. */
  readonly whenFull: string;
  /** The setting to raise when it gets full; null: it cannot. */
  readonly sizedBy: keyof MapSizes | null;
  readonly type: keyof typeof mapTypes;
  /** Its capacity; 0 for the kind that has none. */
  readonly entries: (sizes: MapSizes) => number;
  /**
   * `policy`: written by the agent, decides about traffic, so programs may not be switched to an empty one.
   * `transient`: rebuilt by traffic; a connection in flight when it is replaced is refused.
   */
  readonly holds: 'policy' | 'transient';
  readonly key: Field<K>;
  readonly value: Field<V>;
}

/** By the kernel's numbers (`enum bpf_map_type`), under the names bpftool gives them. */
export const mapTypes = {
  hash: 1,
  array: 2,
  percpu_array: 6,
  lru_hash: 9,
  lpm_trie: 11,
  sockhash: 18,
  sk_storage: 24,
  ringbuf: 27,
} as const;

const spec = <K, V>(value: MapSpec<K, V>): MapSpec<K, V> => value;

export const mapSpecs = {
  config: spec({
    name: 'config',
    purpose: 'what the programs need to know of the node',
    whenFull: 'never: one entry',
    sizedBy: null,
    type: 'array',
    entries: () => 1,
    holds: 'policy',
    key: u32,
    value: layout.config,
  }),
  pods: spec({
    name: 'pods',
    purpose: 'enrolled pods of this node, by network namespace cookie',
    whenFull: 'further pods are not enrolled',
    sizedBy: 'pods',
    type: 'hash',
    entries: (sizes) => sizes.pods,
    holds: 'policy',
    key: u64,
    value: layout.pod,
  }),
  localPods: spec({
    name: 'local_pods',
    purpose: 'pod id by address, for the enrolled pods of this node',
    whenFull: 'further pods are not enrolled',
    sizedBy: 'pods',
    type: 'hash',
    entries: (sizes) => sizes.pods * addressesPerPod,
    holds: 'policy',
    key: address,
    value: u32,
  }),
  guarded: spec({
    name: 'guarded',
    purpose: 'addresses of one pod only, with sk_lookup in front of them: those the kernel path may reach',
    whenFull: 'further pods are not enrolled',
    sizedBy: 'pods',
    type: 'hash',
    entries: (sizes) => sizes.pods * addressesPerPod,
    holds: 'policy',
    key: address,
    value: u32,
  }),
  destinations: spec({
    name: 'destinations',
    purpose: 'addresses that enrolled pods reach through ztunnel only',
    whenFull: 'everything enrolled pods dial goes through ztunnel',
    sizedBy: 'destinations',
    type: 'hash',
    entries: (sizes) => sizes.destinations,
    holds: 'policy',
    key: address,
    value: layout.destination,
  }),
  services: spec({
    name: 'services',
    purpose: 'Services with endpoints on the kernel path, by address and port: how the kernel draws one',
    whenFull: 'connections to further Services go through ztunnel',
    sizedBy: 'pods',
    type: 'hash',
    entries: (sizes) => sizes.pods * servedPerPod,
    holds: 'policy',
    key: serviceLayout.serviceAddress,
    value: serviceLayout.serviceEntry,
  }),
  endpoints: spec({
    name: 'endpoints',
    purpose: 'their endpoints that take the kernel path',
    whenFull: 'connections to further Services go through ztunnel',
    sizedBy: 'pods',
    type: 'hash',
    entries: (sizes) => sizes.pods * servedPerPod,
    holds: 'policy',
    key: serviceLayout.endpointKey,
    value: serviceLayout.endpointEntry,
  }),
  sessions: spec({
    name: 'sessions',
    purpose:
      'clients of Services with session affinity whose endpoint takes the kernel path: where theirs lead',
    whenFull: 'clients whose session finds no room keep their endpoint, and reach it through ztunnel',
    sizedBy: 'pods',
    type: 'hash',
    entries: (sizes) => sizes.pods * sessionsPerPod,
    holds: 'transient',
    key: serviceLayout.sessionKey,
    value: serviceLayout.sessionEntry,
  }),
  egress: spec({
    name: 'egress',
    purpose: 'what enrolled pods may reach outside the mesh, and by UDP',
    whenFull: 'pods whose NamespaceAccess does not fit reach nothing outside the mesh, and nothing by UDP',
    sizedBy: 'egress',
    type: 'lpm_trie',
    entries: (sizes) => sizes.egress,
    holds: 'policy',
    key: egressLayout.egressKey,
    value: egressLayout.egress,
  }),
  listeners: spec({
    name: 'listeners',
    purpose: 'plaintext listener by pod id',
    whenFull: 'further pods are not enrolled',
    sizedBy: 'pods',
    type: 'sockhash',
    entries: (sizes) => sizes.pods,
    holds: 'policy',
    key: u32,
    // A descriptor when written, the socket's cookie when read.
    value: u64,
  }),
  sockets: spec({
    name: 'sockets',
    purpose: 'original destination of each captured socket',
    whenFull: 'never: lives in the socket',
    sizedBy: null,
    type: 'sk_storage',
    entries: () => 0,
    holds: 'transient',
    key: u32,
    value: layout.origin,
  }),
  flows: spec({
    name: 'flows',
    purpose: 'origin and original destination of connections, by tuple',
    whenFull: 'new captured connections are refused, and those between pods of this node',
    sizedBy: 'flows',
    type: 'hash',
    entries: (sizes) => sizes.flows,
    holds: 'transient',
    key: layout.flowKey,
    value: layout.flow,
  }),
  shares: spec({
    name: 'shares',
    purpose:
      'how many records of the kernel path each pod has in flows, and all there are: what came, and went',
    whenFull: 'never: it has room for pods that left, too',
    sizedBy: null,
    type: 'hash',
    entries: (sizes) => sizes.pods * 2 + 1,
    holds: 'transient',
    key: u32,
    value: layout.share,
  }),
  settled: spec({
    name: 'settled',
    purpose: 'and how many of them the agent has removed',
    whenFull: 'never: it has room for pods that left, too',
    sizedBy: null,
    type: 'hash',
    entries: (sizes) => sizes.pods * 2 + 1,
    holds: 'transient',
    key: u32,
    value: u32,
  }),
  verdicts: spec({
    name: 'verdicts',
    purpose: 'which pods of this node may reach which without asking ztunnel',
    whenFull: 'never: the oldest goes, and ztunnel is asked again',
    sizedBy: null,
    type: 'lru_hash',
    entries: (sizes) => sizes.verdicts,
    holds: 'transient',
    key: layout.verdictKey,
    value: layout.verdict,
  }),
  strays: spec({
    name: 'strays',
    purpose: 'connections on the kernel path whose record did not fit into flows, by tuple',
    whenFull: 'never: the oldest goes',
    sizedBy: null,
    type: 'lru_hash',
    entries: () => strayEntries,
    holds: 'transient',
    key: layout.flowKey,
    // When, by the monotonic clock.
    value: u64,
  }),
  ended: spec({
    name: 'ended',
    purpose: 'kernel-path connections that ended and the agent has not read yet',
    whenFull: 'further ones are counted only',
    sizedBy: null,
    type: 'ringbuf',
    entries: () => endedBytes,
    holds: 'transient',
    key: nothing,
    value: nothing,
  }),
  ends: spec({
    name: 'ends',
    purpose: 'sockets of accelerated connections, two for each',
    whenFull: 'further connections are carried by TCP',
    sizedBy: null,
    type: 'sockhash',
    entries: endsFor,
    holds: 'transient',
    key: accelerationLayout.endKey,
    // A socket's cookie when read.
    value: u64,
  }),
  streams: spec({
    name: 'streams',
    purpose: 'how each of these sockets sends',
    whenFull: 'never: it is part of the socket',
    sizedBy: null,
    type: 'sk_storage',
    entries: () => 0,
    holds: 'transient',
    key: u32,
    value: accelerationLayout.stream,
  }),
  accelerated: spec({
    name: 'accelerated',
    purpose: 'accelerated connections and their bytes, by the dialling socket',
    whenFull: 'further connections are carried by TCP',
    sizedBy: null,
    type: 'hash',
    entries: endsFor,
    holds: 'transient',
    key: u64,
    value: accelerationLayout.accelerated,
  }),
  cookies: spec({
    name: 'cookies',
    purpose: 'network namespace cookies the agent asked for, by socket cookie',
    whenFull: 'never: the oldest answer goes',
    sizedBy: null,
    type: 'lru_hash',
    entries: () => cookieEntries,
    holds: 'transient',
    key: u64,
    value: u64,
  }),
  denials: spec({
    name: 'denials',
    purpose: 'refusals that the agent has not read yet',
    whenFull: 'further refusals are counted only',
    sizedBy: null,
    type: 'ringbuf',
    entries: () => denialBytes,
    holds: 'transient',
    key: nothing,
    value: nothing,
  }),
  denialRates: spec({
    name: 'denial_rates',
    purpose: 'how many refusals of each pod were told lately',
    whenFull: 'never: the oldest goes',
    sizedBy: null,
    type: 'lru_hash',
    entries: () => denialRateEntries,
    holds: 'transient',
    key: u32,
    value: egressLayout.denialRate,
  }),
  counters: spec({
    name: 'counters',
    purpose: 'events since the programs were installed',
    whenFull: 'never: one entry a counter',
    sizedBy: null,
    type: 'percpu_array',
    entries: () => counterNames.length,
    holds: 'transient',
    key: u32,
    // Of one CPU.
    value: u64,
  }),
} as const;

/** A spec without its types, for code that treats all maps alike. */
export interface AnyMapSpec extends Omit<MapSpec<unknown, unknown>, 'key' | 'value'> {
  readonly keyBytes: number;
  readonly valueBytes: number;
}

export const allMapSpecs: readonly AnyMapSpec[] = Object.values(mapSpecs).map(({ key, value, ...rest }) => ({
  ...rest,
  keyBytes: key.sizeBytes,
  valueBytes: value.sizeBytes,
}));
