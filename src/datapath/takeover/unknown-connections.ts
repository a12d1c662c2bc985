/**
 * Connections between pods of the node that the kernel carries and of which there is no record: of programs whose maps
 * cannot be read, or for want of room. Both ends are sockets of pods here, which is how they are found. Who dialled whom
 * cannot be told from that, so they can be neither judged nor logged, and are ended; applications dial again, and are
 * asked about.
 */
import { asMeshError } from '../../base/errors.ts';
import { parseIp } from '../../base/ip.ts';
import type { Logger } from '../../base/log.ts';
import { meshPorts } from '../../base/ports.ts';
import type { DoomedConnection, NativeBinding, TcpSocket } from '../../native/binding.ts';
import type { Flow, FlowKey } from '../abi/layout.ts';
import { type PlacedPod, socketsIn } from './prove.ts';

export interface UnknownDeps {
  readonly native: Pick<NativeBinding, 'tcpSockets' | 'destroySockets'>;
  readonly log: Logger;
}

interface PodSocket extends TcpSocket {
  readonly pod: PlacedPod;
}

/**
 * @param known cookies of sockets with a record
 * @param only these, if it is known which they are
 * @returns how many were ended
 */
export async function endUnknown(
  { native, log }: UnknownDeps,
  pods: readonly PlacedPod[],
  known: ReadonlySet<bigint>,
  only?: ReadonlyMap<FlowKey, Flow>,
): Promise<number> {
  if (only?.size === 0) return 0;
  const wanted = only && new Set([...only.values()].map(({ socketCookie }) => socketCookie));
  const sockets: PodSocket[] = [];
  for (const pod of pods) {
    for (const socket of (await socketsIn(native, pod.netns, log)) ?? []) sockets.push({ ...socket, pod });
  }
  const doomed = pairsOf(sockets).filter(([a, b]) =>
    wanted === undefined
      ? !known.has(a.cookie) && !known.has(b.cookie)
      : wanted.has(a.cookie) || wanted.has(b.cookie),
  );
  if (doomed.length === 0) return 0;
  log.warn(
    { connections: doomed.length },
    'connections within the node of which nothing is known any more are ended',
  );
  for (const [pod, ends] of Map.groupBy(doomed.flat(), (end) => end.pod))
    await destroy(native, pod, ends, log);
  return doomed.length;
}

/** The two ends of connections from one pod to another that go by no port of the mesh. Pure. */
export function pairsOf(sockets: readonly PodSocket[]): (readonly [PodSocket, PodSocket])[] {
  const owner = new Map(sockets.flatMap(({ pod }) => pod.addresses.map((ip) => [ip, pod] as const)));
  const between = sockets.filter(({ pod, local, remote }) => {
    const [own, other] = [owner.get(parseIp(local.ip)), owner.get(parseIp(remote.ip))];
    const isMesh = meshPorts.has(local.port) || meshPorts.has(remote.port);
    return !isMesh && own === pod && other !== undefined && other !== pod;
  });
  const byEnds = new Map(between.map((socket) => [nameOf(socket.local, socket.remote), socket]));
  return between.flatMap((socket) => {
    const other = byEnds.get(nameOf(socket.remote, socket.local));
    const isFirst = other !== undefined && socket.cookie < other.cookie;
    return isFirst && other.pod !== socket.pod ? [[socket, other] as const] : [];
  });
}

const nameOf = (a: TcpSocket['local'], b: TcpSocket['local']): string =>
  `${parseIp(a.ip)} ${a.port} ${parseIp(b.ip)} ${b.port}`;

async function destroy(
  native: Pick<NativeBinding, 'destroySockets'>,
  { netns }: PlacedPod,
  ends: readonly PodSocket[],
  log: Logger,
): Promise<void> {
  if (netns === undefined) return;
  const doomed = ends.map(({ local, remote, cookie }): DoomedConnection => ({ local, remote, cookie }));
  try {
    await native.destroySockets(netns, doomed);
  } catch (thrown) {
    log.error(
      { netns, err: asMeshError(thrown) },
      'connections of which nothing is known could not be ended',
    );
  }
}
