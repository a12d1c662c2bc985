/**
 * The flight record's lines: each JSON with its checksum in front, so that a line cut off or damaged costs itself and
 * nothing else. Pods are written once and then named by their UID. Pure.
 *
 *     CHECKSUM {"type":"header","format":"mesh-ebpf flight record","version":1,"node":"node-a"}
 *     CHECKSUM {"type":"pod","uid":"…","namespace":"shop","name":"web-1",…}
 *     CHECKSUM {"type":"record","sequence":12,"id":"c-7",…}
 *     CHECKSUM {"type":"pair","kind":"allowed",…}
 */
import { crc32 } from 'node:zlib';
import { type Static, Type } from 'typebox';
import { Compile } from 'typebox/compile';
import { type ErrorCode, errorCodes } from '../../base/errors.ts';
import {
  formatSocketAddress,
  parseIp,
  parsePort,
  parseSocketAddress,
  type Port,
  type SocketAddress,
} from '../../base/ip.ts';
import {
  type ConnectionId,
  connectionPaths,
  type ConnectionPeer,
  type ConnectionRecord,
  type Verdict,
} from '../../model/connection.ts';
import { parseSpiffeId } from '../../model/identity.ts';
import type { NodeName, ServiceKey, Workload, WorkloadUid } from '../../model/mesh.ts';
import type { PolicyKey } from '../../model/policy.ts';
import type { KeptRecord } from '../connection-registry.ts';
import { type Pair, pairKinds } from './pairs.ts';

const formatName = 'mesh-ebpf flight record';
/** Counts up with every change that an older program would misread. */
const formatVersion = 1;

/** Longer ones are damage: reasons are sentences. */
export const maxLineBytes = 16 * 1024;

const text = Type.String({ maxLength: 4096 });
const maybe = Type.Optional(text);
const time = Type.Number({ minimum: 0, maximum: 1e15 });
const count = Type.Integer({ minimum: 0 });
const owner = Type.Object({ name: text, kind: text });

const HeaderLine = Type.Object({
  type: Type.Literal('header'),
  format: Type.Literal(formatName),
  version: Type.Literal(formatVersion),
  node: text,
});

const PodLine = Type.Object({
  type: Type.Literal('pod'),
  uid: text,
  namespace: text,
  name: text,
  serviceAccount: text,
  identity: text,
  node: text,
  protocol: Type.Enum(['hbone', 'tcp']),
  owner,
});

const PeerPart = Type.Object({ address: text, pod: maybe, identity: maybe });
const decided = { allowed: Type.Boolean(), policy: maybe, reason: text };

const RecordLine = Type.Object({
  type: Type.Literal('record'),
  sequence: Type.Integer({ minimum: 1 }),
  id: text,
  direction: Type.Enum(['outbound', 'inbound']),
  path: Type.Enum([...connectionPaths]),
  transport: Type.Optional(Type.Enum(['tcp', 'udp'])),
  source: PeerPart,
  destination: PeerPart,
  originalDestination: text,
  hboneAddress: maybe,
  service: maybe,
  verdict: Type.Optional(
    Type.Object({ ...decided, audit: maybe, dryRun: Type.Optional(Type.Object(decided)) }),
  ),
  traceId: maybe,
  openedAt: time,
  durationMs: time,
  bytesSent: count,
  bytesReceived: count,
  kernel: Type.Optional(
    Type.Object({ rttMs: Type.Optional(Type.Number({ minimum: 0 })), retransmits: count }),
  ),
  accelerated: Type.Optional(Type.Boolean()),
  connections: Type.Optional(Type.Integer({ minimum: 1 })),
  error: Type.Optional(
    Type.Object({
      code: Type.Enum(Object.keys(errorCodes) as ErrorCode[]),
      hop: Type.Enum([
        'capture',
        'resolve',
        'policy',
        'certificate',
        'dial',
        'tls',
        'h2',
        'peer',
        'application',
        'relay',
      ]),
      message: text,
      hint: maybe,
    }),
  ),
});

const PairLine = Type.Object({
  type: Type.Literal('pair'),
  kind: Type.Enum([...pairKinds]),
  identity: maybe,
  sourceIp: text,
  sourceName: maybe,
  namespace: text,
  owner,
  uid: text,
  destinationIp: text,
  port: Type.Integer({ minimum: 1, maximum: 65535 }),
  policy: maybe,
  count: Type.Integer({ minimum: 1 }),
  firstSeen: time,
  lastSeen: time,
});

const validators = {
  header: Compile(HeaderLine),
  pod: Compile(PodLine),
  record: Compile(RecordLine),
  pair: Compile(PairLine),
};

const line = (value: object): string => {
  const json = JSON.stringify(value);
  return `${crc32(json).toString(16).padStart(8, '0')} ${json}\n`;
};

export const headerLine = (node: string): string =>
  line({ type: 'header', format: formatName, version: formatVersion, node });

export const pairLine = (pair: Pair): string => line({ type: 'pair', ...pair });

/** Writes records; each pod before the first one that names it. */
export class RecordWriter {
  readonly #written = new Set<WorkloadUid>();

  lines({ sequence, record }: KeptRecord): string {
    const { source, destination, originalDestination, hboneAddress, ...rest } = record;
    const pods = this.#pod(source.workload) + this.#pod(destination.workload);
    const value = {
      type: 'record',
      sequence,
      ...rest,
      source: peerPart(source),
      destination: peerPart(destination),
      originalDestination: formatSocketAddress(originalDestination),
      hboneAddress: hboneAddress === undefined ? undefined : formatSocketAddress(hboneAddress),
    };
    return pods + line(value);
  }

  #pod(workload: Workload | undefined): string {
    if (workload === undefined || this.#written.has(workload.uid)) return '';
    this.#written.add(workload.uid);
    const { uid, namespace, name, serviceAccount, identity, node, protocol, owner: of } = workload;
    return line({ type: 'pod', uid, namespace, name, serviceAccount, identity, node, protocol, owner: of });
  }
}

const peerPart = ({ address, workload, identity }: ConnectionPeer): Static<typeof PeerPart> => ({
  address: formatSocketAddress(address),
  ...(workload === undefined ? {} : { pod: workload.uid }),
  ...(identity === undefined ? {} : { identity }),
});

/** Of records, of pairs and of pods, the last: twice what the program remembers of any. A file may have many times as many. */
const maxKept = 16 * 1024;

/** Trimmed now and then, not each time. */
function keep<T>(list: T[], item: T): void {
  list.push(item);
  if (list.length >= 2 * maxKept) list.splice(0, list.length - maxKept);
}

/** Reads lines one by one, strictly; what is none counts as damaged and is left out. */
export class FlightReader {
  readonly records: KeptRecord[] = [];
  readonly pairs: Pair[] = [];
  damaged = 0;
  /** Whether it begins as a record of this node and version. */
  isOwn = false;
  readonly #node: string;
  readonly #currentPod: (uid: WorkloadUid) => Workload | undefined;
  readonly #pods = new Map<WorkloadUid, Workload>();

  /** `currentPod`: pods that are still there are known better than by what was written of them. */
  constructor(node: string, currentPod: (uid: WorkloadUid) => Workload | undefined) {
    this.#node = node;
    this.#currentPod = currentPod;
  }

  push(given: string): void {
    const value = parsedLine(given);
    if (value === undefined || !this.#take(value)) this.damaged += 1;
  }

  #take(value: unknown): boolean {
    try {
      return this.#takeLine(value);
    } catch {
      // An address or an identity that is none.
      return false;
    }
  }

  #takeLine(value: unknown): boolean {
    if (validators.record.Check(value))
      keep(this.records, { sequence: value.sequence, record: this.#record(value) });
    else if (validators.pod.Check(value)) this.#keepPod(podOf(value));
    else if (validators.pair.Check(value)) keep(this.pairs, pairOf(value));
    else if (validators.header.Check(value) && value.node === this.#node) this.isOwn = true;
    else return false;
    return true;
  }

  #keepPod(pod: Workload): void {
    this.#pods.set(pod.uid, pod);
    if (this.#pods.size <= maxKept) return;
    const [oldest] = this.#pods.keys();
    if (oldest !== undefined) this.#pods.delete(oldest);
  }

  #record(given: Static<typeof RecordLine>): ConnectionRecord {
    const {
      type: _type,
      sequence: _sequence,
      verdict,
      error,
      transport,
      kernel,
      connections,
      ...rest
    } = given;
    return {
      ...rest,
      id: given.id as ConnectionId,
      source: this.#peer(given.source),
      destination: this.#peer(given.destination),
      originalDestination: endAddress(given.originalDestination),
      hboneAddress: given.hboneAddress === undefined ? undefined : parseSocketAddress(given.hboneAddress),
      service: given.service as ServiceKey | undefined,
      verdict: verdict === undefined ? undefined : verdictOf(verdict),
      traceId: given.traceId,
      error: error === undefined ? undefined : { ...error, hint: error.hint },
      ...(transport === undefined ? {} : { transport }),
      ...(kernel === undefined ? {} : { kernel: { rttMs: kernel.rttMs, retransmits: kernel.retransmits } }),
      ...(connections === undefined ? {} : { connections }),
    };
  }

  #peer({ address, pod, identity }: Static<typeof PeerPart>): ConnectionPeer {
    const uid = pod as WorkloadUid | undefined;
    return {
      address: endAddress(address),
      workload: uid === undefined ? undefined : (this.#currentPod(uid) ?? this.#pods.get(uid)),
      identity: identity === undefined ? undefined : parseSpiffeId(identity),
    };
  }
}

/** What the kernel refused had no port of its own yet, and a datagram may be for port 0. */
function endAddress(given: string): SocketAddress {
  const base = /^(.*):0$/.exec(given)?.[1];
  return base === undefined
    ? parseSocketAddress(given)
    : { ip: parseSocketAddress(`${base}:1`).ip, port: 0 as Port };
}

function parsedLine(given: string): unknown {
  const json = given.slice(9);
  if (given[8] !== ' ' || Number.parseInt(given.slice(0, 8), 16) !== crc32(json)) return undefined;
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}

const verdictOf = ({
  allowed,
  policy,
  reason,
  audit,
  dryRun,
}: NonNullable<Static<typeof RecordLine>['verdict']>): Verdict => ({
  allowed,
  policy: policy as PolicyKey | undefined,
  reason,
  ...(audit === undefined ? {} : { audit: audit as PolicyKey }),
  ...(dryRun === undefined ? {} : { dryRun: verdictOf(dryRun) }),
});

/** A pod that is gone: enough to name it, and to file its connections. */
const podOf = (given: Static<typeof PodLine>): Workload => ({
  uid: given.uid as WorkloadUid,
  namespace: given.namespace,
  name: given.name,
  serviceAccount: given.serviceAccount,
  identity: parseSpiffeId(given.identity),
  node: given.node as NodeName,
  protocol: given.protocol,
  owner: given.owner,
  addresses: [],
  labels: {},
  hostNetwork: false,
  terminating: true,
});

const pairOf = ({ type: _type, ...given }: Static<typeof PairLine>): Pair => ({
  ...given,
  identity: given.identity === undefined ? undefined : parseSpiffeId(given.identity),
  sourceIp: parseIp(given.sourceIp),
  sourceName: given.sourceName,
  destinationIp: parseIp(given.destinationIp),
  uid: given.uid as WorkloadUid,
  port: parsePort(given.port),
  policy: given.policy as PolicyKey | undefined,
});
