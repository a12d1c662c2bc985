/**
 * The user-space twin of `bpf/include/abi.h`: the same structs and constants under the same names, in camel case.
 * Change both together; a test and every start of the agent compare them.
 */
import type { IpAddress } from '../../base/ip.ts';
import type { PortRange, Transport } from '../../model/access.ts';
import {
  type Field,
  address,
  array,
  bits,
  bool,
  choice,
  decode,
  encode,
  optionalAddress,
  text,
  u16,
  u32,
  u64,
  u8,
} from './field.ts';
import { struct, type StructLayout } from './struct.ts';

/** `MESH_ABI`. */
export const abiVersion = 6;

/** `enum mesh_origin_kind`. */
export const originKinds = { none: 0, captured: 1, host: 2, ztunnel: 3, kernel: 4 } as const;

/** `enum mesh_flow_stage`. */
export const flowStages = { new: 0, admitted: 1, asked: 2 } as const;
export type FlowStage = keyof typeof flowStages;

/** `enum mesh_drawn`. */
export const drawnKinds = { nothing: 0, itself: 1, kernel: 2, other: 3 } as const;
/** Which endpoint of a Service the kernel drew, and left to ztunnel. */
export type Drawn = keyof typeof drawnKinds;

/** `enum mesh_service_flag`. */
export const serviceFlags = { leaves: 1 } as const;

/** `enum mesh_destination_flag`. */
export const destinationFlags = { workload: 1, service: 2, kernel: 4, accelerate: 8 } as const;

/** `enum mesh_end`. */
export const ends = { dialling: 0, accepting: 1 } as const;

/** `enum mesh_stream_stage`. */
export const streamStages = { new: 0, redirected: 1, tcp: 2 } as const;

/** `enum mesh_config_flag`. */
export const configFlags = { captureUnknown: 1, kernelPath: 2, accelerate: 4 } as const;

/** `enum mesh_counter`, in its order, each with what it counts since the programs were installed. */
export const counterHelp = {
  captured: 'connections of enrolled pods sent to ztunnel: the destination is in the mesh',
  capturedUnknown: 'connections of enrolled pods sent to ztunnel because the destinations map is incomplete',
  direct: 'connections of enrolled pods left alone: the destination is not in the mesh',
  refusedMeshPort: 'connections refused: a pod dialled one of its own mesh ports',
  refusedNoAddress: 'connections refused: the pod has no address of the family that capture needs',
  refusedNoMemory: 'connections refused: the kernel could not remember the original destination',
  flowsFull: 'connections that could not be recorded because the flows map is full',
  admittedOrigin: 'inbound connections passed to the application: the node or ztunnel made them',
  plaintext: 'inbound plaintext connections handed to ztunnel',
  droppedMeshPort: 'inbound connections dropped: aimed at a capture port without having been captured',
  droppedUnknown: 'inbound connections dropped: no enrolled pod has that address',
  droppedNoListener: 'inbound connections dropped: the pod has no plaintext listener',
  deniedEgress: 'connections and datagrams refused by a NamespaceAccess',
  denialsUntold: 'of those, the ones that were counted and not told: too many at a time',
  deniedConnecting:
    'UDP sockets that were not connected to where TCP is let through: resolvers do so to order addresses',
  kernel: 'connections of enrolled pods to pods of this node, left to the kernel path',
  admittedKernel: 'inbound connections passed to the application by a verdict, on the kernel path',
  kernelAsked: 'inbound connections on the kernel path without a verdict in force: ztunnel decides',
  droppedUnrecorded:
    'inbound connections on the kernel path dropped: their record did not fit into the flows map',
  refusedCrossing:
    'connections on the kernel path refused: two pods dialled each other from the ports they dialled',
  endedUntold: 'kernel-path connections that ended and are in no log: the agent did not read in time',
  refusedShare: 'connections on the kernel path refused: the pod has its share of the flows map already',
  kernelService: 'of the connections left to the kernel path, those to a Service',
  accelerated: 'kernel-path connections that were accelerated',
  accelerationFull: 'kernel-path connections left to TCP: the maps of accelerated ones are full',
  accelerationLate: 'ends of accelerated connections left to TCP: they sent before the other end was there',
  accelerationBulk: 'ends of accelerated connections that went over to TCP: they have sent too much',
  accelerationBroken: 'messages on accelerated connections refused: the other end has gone',
  acceleratedBytes: 'bytes that went from one socket to the other without TCP',
} as const;

export type CounterName = keyof typeof counterHelp;
export const counterNames = Object.keys(counterHelp) as readonly CounterName[];

export type OriginKind = keyof typeof originKinds;

export interface Config {
  readonly nodeNetnsCookie: bigint;
  readonly ztunnelCgroupId: bigint;
  /** Of the node program before, which finishes what it began; 0: nobody's. */
  readonly drainedCgroupId: bigint;
  readonly flags: Readonly<Record<keyof typeof configFlags, boolean>>;
  readonly abi: number;
  /** What entries of `verdicts` must carry to count. */
  readonly verdictGeneration: bigint;
  /** None is given twice. */
  readonly lastPodId: number;
  /** Records of the kernel path in `flows` that one pod may have. */
  readonly flowShare: number;
}

export interface Pod {
  readonly netnsInode: bigint;
  /** Never 0. */
  readonly id: number;
  readonly uid: string;
  /** `NAMESPACE/NAME`, cut to fit. */
  readonly label: string;
  readonly ip4: IpAddress | undefined;
  readonly ip6: IpAddress | undefined;
  /** Whose entries in `egress` restrict it; 0: none do. */
  readonly egressSet: bigint;
}

export interface Destination {
  readonly flags: Readonly<Record<keyof typeof destinationFlags, boolean>>;
  /** `NAMESPACE/NAME` of the workload, or of the Service, cut to fit. */
  readonly label: string;
}

/** What an application dials. */
export interface ServiceAddress {
  readonly ip: IpAddress;
  readonly port: number;
}

/** What a pod of this node may get there, each endpoint as likely as the other; or that of its session. */
export interface ServiceEntry {
  /** Of its entries in `endpoints`; another one with every change. */
  readonly generation: number;
  /** How many endpoints take the kernel path. */
  readonly kernel: number;
  readonly total: number;
  readonly flags: Readonly<Record<keyof typeof serviceFlags, boolean>>;
  /** Nothing is drawn: clients have sessions, which last so long after their last connection; 0: they do not. */
  readonly sessionMs: number;
}

export interface EndpointKey {
  readonly service: ServiceAddress;
  readonly generation: number;
  readonly index: number;
}

/** One that takes the kernel path. */
export interface EndpointEntry {
  readonly ip: IpAddress;
  readonly port: number;
}

export interface SessionKey {
  /** The first address that the pod has of the family. */
  readonly client: IpAddress;
  readonly service: ServiceAddress;
}

/** To which of the endpoints on the kernel path ztunnel sent this client. */
export interface SessionEntry {
  /** Nanoseconds of the monotonic clock. The kernel writes it, too. */
  readonly lastUsed: bigint;
  /** Of the Service's entry then; 0: nobody has looked whether that endpoint may still be used. */
  readonly generation: number;
  readonly endpoint: EndpointEntry;
}

export interface Origin {
  /** What the application dialled; undefined where it is still what is dialled. */
  readonly originalIp: IpAddress | undefined;
  readonly podId: number;
  /** 0 without `originalIp`. */
  readonly originalPort: number;
  readonly kind: OriginKind;
  readonly drawn: Drawn;
}

export interface FlowKey {
  readonly sourceIp: IpAddress;
  readonly destinationIp: IpAddress;
  readonly sourcePort: number;
  readonly destinationPort: number;
}

export interface Flow {
  readonly socketCookie: bigint;
  readonly origin: Origin;
  /** Nanoseconds of the monotonic clock. */
  readonly openedAt: bigint;
  /** `admitted`: by a verdict, so that ztunnel knows nothing of it. Of the kernel path only. */
  readonly stage: FlowStage;
  /** The socket is gone, and the record waits for ztunnel to accept the connection. */
  readonly closed: boolean;
}

/** A pod's records of the kernel path that came into `flows`, and went; both wrap around. */
export interface Share {
  readonly published: number;
  readonly withdrawn: number;
}

/** All that a verdict depends on, besides the mesh. */
export interface VerdictKey {
  readonly sourceIp: IpAddress;
  readonly destinationIp: IpAddress;
  readonly sourcePodId: number;
  readonly destinationPodId: number;
  readonly port: number;
}

/** Allowed, by the mesh of that generation. */
export interface KernelVerdict {
  readonly generation: bigint;
}

/** A kernel-path connection that ended. */
export interface Ended {
  /** Nanoseconds of the monotonic clock. */
  readonly openedAt: bigint;
  readonly endedAt: bigint;
  readonly socketCookie: bigint;
  readonly flow: FlowKey;
  readonly sourcePodId: number;
  /** SYN and FIN are a byte each. */
  readonly bytesAcked: bigint;
  /** FIN is a byte. */
  readonly bytesReceived: bigint;
  /** Eight times the smoothed round trip. */
  readonly srttUs: number;
  readonly retransmits: number;
  /** What the application dialled; undefined if it is what was reached. */
  readonly originalIp: IpAddress | undefined;
  readonly originalPort: number;
  /** `BPF_TCP_…` of <linux/bpf.h>. */
  readonly lastState: number;
  /** It went from socket to socket, at least in part. */
  readonly accelerated: boolean;
}

/** An end of an accelerated connection, which has the dialling socket's cookie for its name. */
export interface EndKey {
  readonly connection: bigint;
  readonly end: keyof typeof ends;
}

/** How an end sends. */
export interface Stream extends EndKey {
  readonly stage: keyof typeof streamStages;
  readonly watched: boolean;
}

/** What of a connection's bytes TCP does not know of. */
export interface Accelerated {
  /** From the side that dialled. */
  readonly bytesSent: bigint;
  readonly bytesReceived: bigint;
  /** Of each end, since the other one sent something. */
  readonly unanswered: readonly number[];
}

const labelSize = 64;

/** `label` as a map keeps it. */
export const fitLabel = (label: string): string =>
  Buffer.byteLength(label) < labelSize ? label : decode(text(labelSize), encode(text(labelSize), label));

const uidSize = 64;
/** Longest pod UID that can be kept, in bytes. */
export const maxUidBytes = uidSize - 1;

export const config = struct<Config>('mesh_config', {
  nodeNetnsCookie: u64,
  ztunnelCgroupId: u64,
  drainedCgroupId: u64,
  flags: bits(u32, configFlags),
  abi: u32,
  verdictGeneration: u64,
  lastPodId: u32,
  flowShare: u32,
});

export const pod = struct<Pod>('mesh_pod', {
  netnsInode: u64,
  id: u32,
  uid: text(uidSize),
  label: text(labelSize),
  ip4: optionalAddress,
  ip6: optionalAddress,
  egressSet: u64,
});

export const destination = struct<Destination>('mesh_destination', {
  flags: bits(u32, destinationFlags),
  label: text(labelSize),
});

export const serviceAddress = struct<ServiceAddress>('mesh_service_key', {
  ip: address,
  port: u16,
});

export const serviceEntry = struct<ServiceEntry>('mesh_service', {
  generation: u32,
  kernel: u32,
  total: u32,
  flags: bits(u32, serviceFlags),
  sessionMs: u32,
});

export const endpointKey = struct<EndpointKey>('mesh_endpoint_key', {
  service: serviceAddress,
  generation: u32,
  index: u32,
});

export const endpointEntry = struct<EndpointEntry>('mesh_endpoint', {
  ip: address,
  port: u16,
});

export const sessionKey = struct<SessionKey>('mesh_session_key', {
  client: address,
  service: serviceAddress,
});

export const sessionEntry = struct<SessionEntry>('mesh_session', {
  lastUsed: u64,
  generation: u32,
  endpoint: endpointEntry,
});

export const origin = struct<Origin>('mesh_origin', {
  originalIp: optionalAddress,
  podId: u32,
  originalPort: u16,
  kind: choice(u8, originKinds),
  drawn: choice(u8, drawnKinds),
});

export const flowKey = struct<FlowKey>('mesh_flow_key', {
  sourceIp: address,
  destinationIp: address,
  sourcePort: u16,
  destinationPort: u16,
});

export const flow = struct<Flow>('mesh_flow', {
  socketCookie: u64,
  origin,
  openedAt: u64,
  stage: choice(u8, flowStages),
  closed: bool,
});

export const share = struct<Share>('mesh_share', { published: u32, withdrawn: u32 });

export const verdictKey = struct<VerdictKey>('mesh_verdict_key', {
  sourceIp: address,
  destinationIp: address,
  sourcePodId: u32,
  destinationPodId: u32,
  port: u16,
});

export const verdict = struct<KernelVerdict>('mesh_verdict', { generation: u64 });

export const ended = struct<Ended>('mesh_ended', {
  openedAt: u64,
  endedAt: u64,
  socketCookie: u64,
  flow: flowKey,
  sourcePodId: u32,
  bytesAcked: u64,
  bytesReceived: u64,
  srttUs: u32,
  retransmits: u32,
  originalIp: optionalAddress,
  originalPort: u16,
  lastState: u8,
  accelerated: bool,
});

export const endKey = struct<EndKey>('mesh_end_key', { connection: u64, end: choice(u32, ends) });

export const stream = struct<Stream>('mesh_stream', {
  connection: u64,
  end: choice(u8, ends),
  stage: choice(u8, streamStages),
  watched: bool,
});

export const accelerated = struct<Accelerated>('mesh_accelerated', {
  bytesSent: u64,
  bytesReceived: u64,
  unanswered: array(u32, 2, () => false),
});

/** IANA's numbers. */
const transports: Readonly<Record<Transport, number>> = { tcp: 6, udp: 17 };

/** `MESH_EGRESS_RANGES`. */
export const maxPortRanges = 16;

export interface EgressKey {
  /** Of the address: 0 to 128. IPv4 has 96 more than people write. */
  readonly bits: number;
  readonly set: bigint;
  readonly base: IpAddress;
}

export interface Egress {
  readonly open: readonly PortRange[];
}

export interface Denial {
  /** Nanoseconds of the monotonic clock. */
  readonly at: bigint;
  readonly ip: IpAddress;
  readonly podId: number;
  /** Of the same pod, since the one told before. */
  readonly untold: number;
  readonly port: number;
  readonly protocol: Transport;
}

export interface DenialRate {
  readonly windowStart: bigint;
  readonly told: number;
  readonly untold: number;
}

/** What comes before the address in a key: padding and the set. */
const setBits = 96;

const setPrefixBits: Field<number> = {
  ...u32,
  read: (view, offset) => u32.read(view, offset) - setBits,
  write: (view, offset, value) => u32.write(view, offset, value + setBits),
};

export const egressKey = struct<EgressKey>('mesh_egress_key', {
  bits: setPrefixBits,
  set: u64,
  base: address,
});

const portRange = struct<{ first: number; last: number; protocol: Transport | 'unused' }>('mesh_port_range', {
  first: u16,
  last: u16,
  protocol: choice(u8, { unused: 0, ...transports }),
});

const ranges = array(portRange, maxPortRanges, ({ protocol }) => protocol === 'unused');

export const egress = struct<Egress>('mesh_egress', { open: ranges as Field<Egress['open']> });

export const denial = struct<Denial>('mesh_denial', {
  at: u64,
  ip: address,
  podId: u32,
  untold: u32,
  port: u16,
  protocol: choice(u8, transports),
});

export const denialRate = struct<DenialRate>('mesh_denial_rate', {
  windowStart: u64,
  told: u32,
  untold: u32,
});

/** All of them, for the comparison with the BPF object. */
export const structs: readonly StructLayout[] = [
  config,
  pod,
  destination,
  serviceAddress,
  serviceEntry,
  endpointKey,
  endpointEntry,
  sessionKey,
  sessionEntry,
  origin,
  flowKey,
  flow,
  share,
  verdictKey,
  verdict,
  ended,
  endKey,
  stream,
  accelerated,
  egressKey,
  portRange,
  egress,
  denial,
  denialRate,
];
