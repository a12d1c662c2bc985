/** What programs must do with connections, one case for each way that one can go. */
import { hrtime } from 'node:process';
import { type IpAddress, parseIp } from '../../base/ip.ts';
import { outboundPort } from '../../base/ports.ts';
import type { BpfObject, Fd, NativeBinding } from '../../native/binding.ts';
import { abiVersion, type Config, nodeShare, type Pod } from '../abi/layout.ts';
import { MapTable } from '../map-table.ts';
import { type MapSpec, mapSpecs } from '../maps.ts';
import { findNetnsCookie } from '../netns-cookie.ts';
import { applicationPort, type TestPlace } from './test-place.ts';

export interface Case {
  readonly name: string;
  readonly expected: string;
  readonly run: () => Promise<string>;
}

export interface CaseDeps {
  readonly native: NativeBinding;
  readonly object: BpfObject;
  readonly place: TestPlace;
  readonly ownCgroupId: bigint;
  readonly families: readonly Family[];
}

export type Family = 4 | 6;

/** Of the benchmarks' network (RFC 2544, RFC 5180): nobody's. */
const prefixes = { 4: '198.18.0.', 6: '2001:2::' } as const;

/** The virtual address of a Service, and its ports: one is drawn from, clients of the other have sessions. */
const [serviceHost, servicePort, sessionPort] = [5, 80, 81];
/** Of their entries. */
const [drawn, chosen] = [1, 2];

/** Without the programs all is this host's: what then does not work is not theirs. */
export async function workingFamilies(place: TestPlace): Promise<readonly Family[]> {
  const working: Family[] = [];
  for (const family of [4, 6] as const) {
    const own = `${prefixes[family]}${podId}`;
    if ((await place.dial(own, own, applicationPort)) === 'application') working.push(family);
  }
  return working;
}

const [podId, peerId] = [1, 2];
const noEntries = 7n;

export async function createCases(
  deps: CaseDeps,
): Promise<{ readonly all: readonly Case[]; readonly close: () => void }> {
  const { native, object, place, ownCgroupId, families } = deps;
  const fds: Fd[] = [];
  const table = <K, V>(spec: MapSpec<K, V>): MapTable<K, V> => {
    const fd = object.mapFd(spec.name);
    fds.push(fd);
    return new MapTable(native, fd, spec);
  };
  const tables = {
    config: table(mapSpecs.config),
    pods: table(mapSpecs.pods),
    flows: table(mapSpecs.flows),
    verdicts: table(mapSpecs.verdicts),
    cookies: table(mapSpecs.cookies),
    sessions: table(mapSpecs.sessions),
  };
  const base: Config = {
    nodeNetnsCookie: 0n,
    ztunnelCgroupId: ownCgroupId,
    drainedCgroupId: 0n,
    flags: { captureUnknown: false, kernelPath: true, accelerate: false },
    abi: abiVersion,
    verdictGeneration: 1n,
    lastPodId: peerId,
    flowShare: 64,
    flowLeast: 1,
    flowCommon: 256,
  };
  tables.config.set(0, base);
  const cookie = await findNetnsCookie({ native, cookies: tables.cookies }, place.netns);
  fill(table, place);

  const as = (config: Partial<Config>, entry: Pod | undefined): void => {
    tables.config.set(0, { ...base, ztunnelCgroupId: 0n, ...config });
    if (entry === undefined) tables.pods.delete(cookie);
    else tables.pods.set(cookie, entry);
  };

  const all = families.flatMap((family) => {
    const ip = (host: number): IpAddress => parseIp(`${prefixes[family]}${host}`);
    const [own, peer, meshed, outside] = [ip(1), ip(2), ip(3), ip(4)];
    const pod: Pod = {
      netnsInode: 0n,
      id: podId,
      uid: 'self-test',
      label: 'self-test',
      ip4: parseIp('198.18.0.1'),
      ip6: parseIp('2001:2::1'),
      egressSet: 0n,
    };
    const to = (address: IpAddress, port = applicationPort) => place.dial(own, address, port);
    const allow = (generation: bigint): void => {
      const pair = { sourcePodId: podId, destinationPodId: peerId, port: applicationPort };
      tables.verdicts.set({ sourceIp: own, destinationIp: peer, ...pair }, { generation });
    };
    const begin = (generation: number): void => {
      const session = { client: own, service: { ip: ip(serviceHost), port: sessionPort } };
      const endpoint = { ip: peer, port: applicationPort };
      tables.sessions.set(session, { lastUsed: hrtime.bigint(), generation, endpoint });
    };
    const one = (name: string, expected: string, run: () => Promise<string>): Case => ({
      name: `${name} (IPv${family})`,
      expected,
      run,
    });
    return [
      one('a pod dials itself', 'application', () => {
        as({}, pod);
        return to(own);
      }),
      // Left alone, it arrives as anybody's would.
      one('a pod dials outside the mesh', 'plaintext', () => to(outside)),
      one('a pod dials what no rule lets it', 'EPERM', () => {
        as({}, { ...pod, egressSet: noEntries });
        return to(outside);
      }),
      one('a pod dials into the mesh', 'captured', () => {
        as({}, pod);
        return to(meshed);
      }),
      one('a pod dials a port of the mesh', 'EPERM', () => to(own, outboundPort)),
      one('a pod dials another one of the node', 'plaintext', () => to(peer)),
      one('a pod dials another one of the node, and may', 'application', () => {
        allow(1n);
        return to(peer);
      }),
      one('a pod dials a Service with an endpoint on the node, and may', 'application', () =>
        to(ip(serviceHost), servicePort),
      ),
      one('a pod dials a Service whose endpoints have changed under its session', 'captured', () => {
        begin(chosen - 1);
        return to(ip(serviceHost), sessionPort);
      }),
      one('a pod dials a Service where it has a session, and may', 'application', () => {
        begin(chosen);
        return to(ip(serviceHost), sessionPort);
      }),
      one('a pod dials another one of the node after a change', 'plaintext', () => {
        as({ verdictGeneration: 2n }, pod);
        return to(peer);
      }),
      one('the node dials a pod', 'application', () => {
        as({ nodeNetnsCookie: cookie }, undefined);
        return to(peer);
      }),
      one('a stranger dials a pod', 'plaintext', () => {
        as({}, undefined);
        return to(peer);
      }),
      one('a stranger dials a port of the mesh', 'ECONNREFUSED', () => to(peer, outboundPort)),
      one('ztunnel dials a pod', 'application', () => {
        as({ ztunnelCgroupId: ownCgroupId }, undefined);
        return to(peer);
      }),
    ];
  });
  all.push({
    name: 'what is remembered afterwards',
    expected: onlyAsked,
    run: () =>
      Promise.resolve(
        remembered(
          tables.flows.entries().map(([, flow]) => flow.origin.kind),
          families.length,
        ),
      ),
  });
  return { all, close: () => fds.forEach((fd) => native.closeFd(fd)) };
}

/** The pods, of which only the first one dials, and the address that is in the mesh. */
function fill(table: <K, V>(spec: MapSpec<K, V>) => MapTable<K, V>, place: TestPlace): void {
  const [localPods, guarded, destinations] = [
    table(mapSpecs.localPods),
    table(mapSpecs.guarded),
    table(mapSpecs.destinations),
  ];
  for (const prefix of Object.values(prefixes)) {
    for (const id of [podId, peerId]) {
      const ip = parseIp(`${prefix}${id}`);
      localPods.set(ip, id);
      guarded.set(ip, id);
      destinations.set(ip, {
        flags: { workload: true, service: false, kernel: true, accelerate: false },
        label: 'self-test',
      });
    }
    localPods.set(parseIp(`${prefix}4`), peerId);
    const flags = { workload: true, service: false, kernel: false, accelerate: false };
    destinations.set(parseIp(`${prefix}3`), { flags, label: 'self-test' });
    fillService(table, prefix);
  }
  table(mapSpecs.listeners).set(peerId, BigInt(place.plaintextListener));
  for (const id of [podId, nodeShare]) {
    table(mapSpecs.shares).set(id, { published: 0, withdrawn: 0 });
    table(mapSpecs.settled).set(id, 0);
  }
}

/** One with a single endpoint, the second pod. */
function fillService(table: <K, V>(spec: MapSpec<K, V>) => MapTable<K, V>, prefix: string): void {
  const service = { ip: parseIp(`${prefix}${serviceHost}`), port: servicePort };
  const flags = { workload: false, service: true, kernel: false, accelerate: false };
  table(mapSpecs.destinations).set(service.ip, { flags, label: 'self-test' });
  table(mapSpecs.endpoints).set(
    { service, generation: drawn, index: 0 },
    { ip: parseIp(`${prefix}${peerId}`), port: applicationPort },
  );
  const choice = { generation: drawn, kernel: 1, total: 1, flags: { leaves: false }, sessionMs: 0 };
  table(mapSpecs.services).setAll([
    [service, choice],
    [
      { ...service, port: sessionPort },
      { ...choice, generation: chosen, sessionMs: 60_000 },
    ],
  ]);
}

const onlyAsked = 'what ztunnel was asked about';

/** All others go with their sockets; captured ones' are Node's to close, a moment later. */
function remembered(kinds: readonly string[], families: number): string {
  const others = kinds.filter((kind) => kind !== 'captured' && kind !== 'kernel');
  const asked = kinds.filter((kind) => kind === 'kernel').length;
  const expected = others.length === 0 && asked === 2 * families;
  return expected ? onlyAsked : kinds.toSorted().join(', ') || 'nothing';
}
