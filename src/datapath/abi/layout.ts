/**
 * The user-space twin of `bpf/include/abi.h`: the same structs and constants under the same names, in camel case.
 * Change both together; a test and every start of the agent compare them. What belongs to Services, egress, acceleration and
 * counters is in files of their own beside this one.
 */
import type { IpAddress } from '../../base/ip.ts';
import {
  address,
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
  u64AsNumber,
  u8,
} from './field.ts';
import { struct, type StructLayout } from './struct.ts';
import { accelerationStructs } from './acceleration-layout.ts';
import { egressStructs } from './egress-layout.ts';
import { serviceStructs } from './service-layout.ts';

/** `MESH_ABI`. */
export const abiVersion = 7;

/** `enum mesh_origin_kind`. */
export const originKinds = { none: 0, captured: 1, host: 2, ztunnel: 3, kernel: 4 } as const;

/** `enum mesh_flow_stage`. */
export const flowStages = { new: 0, admitted: 1, asked: 2 } as const;
export type FlowStage = keyof typeof flowStages;

/** `enum mesh_drawn`. */
export const drawnKinds = { nothing: 0, itself: 1, kernel: 2, other: 3 } as const;
/** Which endpoint of a Service the kernel drew, and left to ztunnel. */
export type Drawn = keyof typeof drawnKinds;

/** `enum mesh_destination_flag`. */
export const destinationFlags = { workload: 1, service: 2, kernel: 4, accelerate: 8 } as const;

/** `enum mesh_config_flag`. */
export const configFlags = { captureUnknown: 1, kernelPath: 2, accelerate: 4 } as const;

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
  /** Records of the kernel path in `flows` that one pod may have, if it is alone. */
  readonly flowShare: number;
  /** That each may have, whatever others have. */
  readonly flowLeast: number;
  /** Room in `flows` for all who come: the rest is kept for who has less than that. */
  readonly flowCommon: number;
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
  readonly openedAt: number;
  readonly endedAt: number;
  readonly socketCookie: bigint;
  readonly flow: FlowKey;
  readonly sourcePodId: number;
  /** SYN and FIN are a byte each. */
  readonly bytesAcked: number;
  /** FIN is a byte. */
  readonly bytesReceived: number;
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
  flowLeast: u32,
  flowCommon: u32,
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

/** The entry of `shares` and `settled` of all records that last as long as a connection, whosever they are: no pod has this id. */
export const nodeShare = 0;

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
  openedAt: u64AsNumber,
  endedAt: u64AsNumber,
  socketCookie: u64,
  flow: flowKey,
  sourcePodId: u32,
  bytesAcked: u64AsNumber,
  bytesReceived: u64AsNumber,
  srttUs: u32,
  retransmits: u32,
  originalIp: optionalAddress,
  originalPort: u16,
  lastState: u8,
  accelerated: bool,
});

/** All of them, for the comparison with the BPF object. */
export const structs: readonly StructLayout[] = [
  config,
  pod,
  destination,
  origin,
  flowKey,
  flow,
  share,
  verdictKey,
  verdict,
  ended,
  ...serviceStructs,
  ...accelerationStructs,
  ...egressStructs,
];
