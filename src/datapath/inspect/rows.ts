/**
 * How each map's entries read: rows of named columns, with names beside addresses and ids, and no byte in hex. One
 * reader a map; the maps that are missing here cannot be listed by the kernel.
 */
import { hrtime } from 'node:process';
import type { IpAddress } from '../../base/ip.ts';
import { formatSocketAddress, isIpv4, type Port, type SocketAddress } from '../../base/ip.ts';
import type { PortRange } from '../../model/access.ts';
import type { Fd, NativeBinding } from '../../native/binding.ts';
import { counterHelp, counterNames } from '../abi/counters.ts';
import { nodeShare } from '../abi/layout.ts';
import { type ServiceAddress } from '../abi/service-layout.ts';
import { readCounters } from '../counters.ts';
import { MapTable } from '../map-table.ts';
import { mapSpecs, type MapSpec } from '../maps.ts';

/** Columns in the order in which they are to be shown. */
export type Row = Readonly<Record<string, string | number | boolean>>;

/** What things are called; empty text for what has no name. */
export interface Names {
  pod(id: number): string;
  /** The pods that a set of `egress` entries restricts. */
  underSet(set: bigint): string;
  address(ip: IpAddress): string;
  /** What verdicts have to carry to count. */
  readonly verdictGeneration: bigint;
}

/** `443/tcp`, `1000-2000/udp`, `tcp` for every port. */
function portText({ protocol, first, last }: PortRange): string {
  if (first === 0 && last === 65_535) return protocol;
  return `${first === last ? first : `${first}-${last}`}/${protocol}`;
}

/** 0 is no port of anything, but maps are shown as they are. */
const addressOf = ({ ip, port }: ServiceAddress): SocketAddress => ({ ip, port: port as Port });

type Reader = (native: NativeBinding, fd: Fd, names: Names) => Row[];

function reader<K, V>(spec: MapSpec<K, V>, row: (key: K, value: V, names: Names) => Row): Reader {
  return (native, fd, names) =>
    new MapTable(native, fd, spec).entries().map(([key, value]) => row(key, value, names));
}

const readCounterRows: Reader = (native, fd) => {
  const values = readCounters(new MapTable(native, fd, mapSpecs.counters));
  return counterNames.map((counter) => ({
    counter,
    value: String(values[counter]),
    counts: counterHelp[counter],
  }));
};

export const readers: Readonly<Record<string, Reader>> = {
  config: reader(mapSpecs.config, (_, config) => ({
    nodeNetnsCookie: String(config.nodeNetnsCookie),
    ztunnelCgroupId: String(config.ztunnelCgroupId),
    drainedCgroupId: String(config.drainedCgroupId),
    captureUnknown: config.flags.captureUnknown,
    kernelPath: config.flags.kernelPath,
    accelerate: config.flags.accelerate,
    verdictGeneration: String(config.verdictGeneration),
    lastPodId: config.lastPodId,
    flowShare: config.flowShare,
    flowLeast: config.flowLeast,
    flowCommon: config.flowCommon,
    abi: config.abi,
  })),
  pods: reader(mapSpecs.pods, (cookie, pod) => ({
    netnsCookie: String(cookie),
    podId: pod.id,
    pod: pod.label,
    uid: pod.uid,
    ip4: pod.ip4 ?? '',
    ip6: pod.ip6 ?? '',
    egress: pod.egressSet === 0n ? 'anywhere' : 'restricted',
    netnsInode: String(pod.netnsInode),
  })),
  local_pods: reader(mapSpecs.localPods, (address, podId, names) => ({
    address,
    podId,
    pod: names.pod(podId),
  })),
  guarded: reader(mapSpecs.guarded, (address, podId, names) => ({
    address,
    podId,
    pod: names.pod(podId),
  })),
  destinations: reader(mapSpecs.destinations, (address, { label, flags }) => ({
    address,
    name: label,
    kind: [
      flags.service ? 'service' : '',
      flags.workload ? 'workload' : '',
      flags.kernel ? 'kernel path' : '',
      flags.accelerate ? 'may be accelerated' : '',
    ]
      .filter(Boolean)
      .join(', '),
  })),
  services: reader(mapSpecs.services, (dialled, { kernel, total, generation, flags, sessionMs }, names) => ({
    service: formatSocketAddress(addressOf(dialled)),
    name: names.address(dialled.ip),
    onKernelPath: kernel,
    others: total - kernel,
    outsideMesh: flags.leaves ? 'some' : 'none',
    sessions: sessionMs === 0 ? '' : `${sessionMs / 1000} s`,
    generation,
  })),
  endpoints: reader(mapSpecs.endpoints, ({ service, generation, index }, endpoint, names) => ({
    service: formatSocketAddress(addressOf(service)),
    name: names.address(service.ip),
    endpoint: formatSocketAddress(addressOf(endpoint)),
    pod: names.address(endpoint.ip),
    generation,
    index,
  })),
  sessions: reader(mapSpecs.sessions, ({ client, service }, { endpoint, generation, lastUsed }, names) => ({
    client,
    clientName: names.address(client),
    service: formatSocketAddress(addressOf(service)),
    name: names.address(service.ip),
    endpoint: formatSocketAddress(addressOf(endpoint)),
    pod: names.address(endpoint.ip),
    idleSeconds: Number((hrtime.bigint() - lastUsed) / 1_000_000_000n),
    generation,
  })),
  egress: reader(mapSpecs.egress, ({ set, bits, base }, { open }, names) => ({
    pods: names.underSet(set),
    destination: `${base}/${isIpv4(base) && bits >= 96 ? bits - 96 : bits}`,
    name: names.address(base),
    open: open.map(portText).join(' ') || 'nothing',
  })),
  denial_rates: reader(mapSpecs.denialRates, (podId, { told, untold }, names) => ({
    podId,
    pod: names.pod(podId),
    told,
    untold,
  })),
  listeners: reader(mapSpecs.listeners, (podId, socketCookie, names) => ({
    podId,
    pod: names.pod(podId),
    socketCookie: String(socketCookie),
  })),
  flows: reader(mapSpecs.flows, (key, { origin, socketCookie, stage, closed }, names) => ({
    source: formatSocketAddress({ ip: key.sourceIp, port: key.sourcePort as Port }),
    sourceName: names.address(key.sourceIp),
    destination: formatSocketAddress({ ip: key.destinationIp, port: key.destinationPort as Port }),
    destinationName: names.address(key.destinationIp),
    origin: origin.kind,
    stage: origin.kind === 'kernel' ? `${stage}${closed ? ', given up' : ''}` : '',
    pod: names.pod(origin.podId),
    dialled:
      origin.originalIp === undefined
        ? ''
        : formatSocketAddress({ ip: origin.originalIp, port: origin.originalPort as Port }),
    dialledName: origin.originalIp === undefined ? '' : names.address(origin.originalIp),
    drawn: origin.drawn === 'nothing' ? '' : origin.drawn,
    socketCookie: String(socketCookie),
  })),
  shares: reader(mapSpecs.shares, (podId, { published, withdrawn }, names) => ({
    podId,
    pod: podId === nodeShare ? 'all' : names.pod(podId),
    published,
    withdrawn,
  })),
  settled: reader(mapSpecs.settled, (podId, removed, names) => ({
    podId,
    pod: podId === nodeShare ? 'all' : names.pod(podId),
    removed,
  })),
  verdicts: reader(mapSpecs.verdicts, (key, { generation }, names) => ({
    source: names.pod(key.sourcePodId),
    sourceIp: key.sourceIp,
    destination: names.pod(key.destinationPodId),
    destinationIp: key.destinationIp,
    port: key.port,
    state: generation === names.verdictGeneration ? 'in force' : 'outdated',
  })),
  strays: reader(mapSpecs.strays, (key, _, names) => ({
    source: formatSocketAddress({ ip: key.sourceIp, port: key.sourcePort as Port }),
    sourceName: names.address(key.sourceIp),
    destination: formatSocketAddress({ ip: key.destinationIp, port: key.destinationPort as Port }),
    destinationName: names.address(key.destinationIp),
  })),
  ends: reader(mapSpecs.ends, ({ connection, end }, socketCookie) => ({
    connection: String(connection),
    end,
    socketCookie: String(socketCookie),
  })),
  accelerated: reader(mapSpecs.accelerated, (connection, { bytesSent, bytesReceived, unanswered }) => ({
    connection: String(connection),
    bytesSent: String(bytesSent),
    bytesReceived: String(bytesReceived),
    unanswered: Math.max(...unanswered),
  })),
  cookies: reader(mapSpecs.cookies, (socketCookie, netnsCookie) => ({
    socketCookie: String(socketCookie),
    netnsCookie: String(netnsCookie),
  })),
  counters: readCounterRows,
};
