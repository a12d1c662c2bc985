/**
 * How each map's entries read: rows of named columns, with names beside addresses and ids, and no byte in hex. One
 * reader a map; the map that is missing here cannot be listed by the kernel.
 */
import type { IpAddress } from '../../base/ip.ts';
import { formatSocketAddress, type Port } from '../../base/ip.ts';
import type { Fd, NativeBinding } from '../../native/binding.ts';
import { counterHelp, counterNames } from '../abi/layout.ts';
import { readCounters } from '../counters.ts';
import { MapTable } from '../map-table.ts';
import { mapSpecs, type MapSpec } from '../maps.ts';

/** Columns in the order in which they are to be shown. */
export type Row = Readonly<Record<string, string | number | boolean>>;

/** What things are called; empty text for what has no name. */
export interface Names {
  pod(id: number): string;
  address(ip: IpAddress): string;
}

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
    abi: config.abi,
  })),
  pods: reader(mapSpecs.pods, (cookie, pod) => ({
    netnsCookie: String(cookie),
    podId: pod.id,
    pod: pod.label,
    uid: pod.uid,
    ip4: pod.ip4 ?? '',
    ip6: pod.ip6 ?? '',
    netnsInode: String(pod.netnsInode),
  })),
  local_pods: reader(mapSpecs.localPods, (address, podId, names) => ({
    address,
    podId,
    pod: names.pod(podId),
  })),
  destinations: reader(mapSpecs.destinations, (address, { label, flags }) => ({
    address,
    name: label,
    kind: [flags.service ? 'service' : '', flags.workload ? 'workload' : ''].filter(Boolean).join(', '),
  })),
  listeners: reader(mapSpecs.listeners, (podId, socketCookie, names) => ({
    podId,
    pod: names.pod(podId),
    socketCookie: String(socketCookie),
  })),
  flows: reader(mapSpecs.flows, (key, { origin, socketCookie }, names) => ({
    source: formatSocketAddress({ ip: key.sourceIp, port: key.sourcePort as Port }),
    sourceName: names.address(key.sourceIp),
    destination: formatSocketAddress({ ip: key.destinationIp, port: key.destinationPort as Port }),
    destinationName: names.address(key.destinationIp),
    origin: origin.kind,
    pod: names.pod(origin.podId),
    dialled:
      origin.originalIp === undefined
        ? ''
        : formatSocketAddress({ ip: origin.originalIp, port: origin.originalPort as Port }),
    dialledName: origin.originalIp === undefined ? '' : names.address(origin.originalIp),
    socketCookie: String(socketCookie),
  })),
  cookies: reader(mapSpecs.cookies, (socketCookie, netnsCookie) => ({
    socketCookie: String(socketCookie),
    netnsCookie: String(netnsCookie),
  })),
  counters: readCounterRows,
};
