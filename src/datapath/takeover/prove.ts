/**
 * Compares records of connections with the sockets there are. A record lives as long as the dialling socket, whose end the
 * programs hear of; during an upgrade that may be when the record is in the other map.
 */
import { hrtime } from 'node:process';
import { asMeshError } from '../../base/errors.ts';
import type { IpAddress } from '../../base/ip.ts';
import type { Logger } from '../../base/log.ts';
import type { NativeBinding, TcpSocket } from '../../native/binding.ts';
import type { Flow, FlowKey } from '../abi/layout.ts';
import type { MapTable } from '../map-table.ts';
import { orphaned } from './merge.ts';

export interface PlacedPod {
  readonly podId: number;
  /** Undefined: not known yet. */
  readonly netns: string | undefined;
  readonly addresses: readonly IpAddress[];
}

export interface ProveDeps {
  readonly native: Pick<NativeBinding, 'tcpSockets'>;
  readonly flows: Pick<MapTable<FlowKey, Flow>, 'entries' | 'get' | 'delete' | 'replace'>;
  readonly nodeNetns: string;
  readonly log: Logger;
}

export interface Proved {
  /** Sockets that have a record. */
  readonly known: ReadonlySet<bigint>;
  readonly removed: number;
  /** Of those, connections that the kernel carried and nobody heard the end of. */
  readonly untold: number;
}

/** Of pods whose sockets cannot be seen nothing is removed. */
export async function proveFlows(
  { native, flows, nodeNetns, log }: ProveDeps,
  pods: readonly PlacedPod[],
): Promise<Proved> {
  // What is recorded from here on may be of a socket that is not among those seen.
  const now = hrtime.bigint();
  const byPod = new Map<number, ReadonlySet<bigint>>();
  for (const { podId, netns } of pods) {
    const sockets = await socketsIn(native, netns, log);
    if (sockets !== undefined) byPod.set(podId, cookiesOf(sockets));
  }
  const nodes = await socketsIn(native, nodeNetns, log);
  const ofNode = nodes && cookiesOf(nodes);
  const entries = flows.entries();
  const gone = entries.filter(([, { origin, socketCookie, openedAt }]) => {
    const alive = origin.kind === 'host' ? ofNode : byPod.get(origin.podId);
    return alive !== undefined && openedAt < now && !alive.has(socketCookie);
  });
  const counted = gone.map(([key, flow]) => withdraw(flows, key, flow));
  return {
    known: new Set(entries.map(([, { socketCookie }]) => socketCookie)),
    removed: counted.filter((one) => one !== 'kept').length,
    untold: counted.filter((one) => one === 'untold').length,
  };
}

type Withdrawn = 'kept' | 'removed' | 'untold';

function withdraw(flows: ProveDeps['flows'], key: FlowKey, { socketCookie }: Flow): Withdrawn {
  const flow = flows.get(key);
  if (flow?.socketCookie !== socketCookie || flow.closed) return 'kept';
  const left = orphaned(flow);
  if (left !== undefined) {
    flows.replace(key, left);
    return 'kept';
  }
  if (!flows.delete(key)) return 'kept';
  return flow.origin.kind === 'kernel' ? 'untold' : 'removed';
}

const cookiesOf = (sockets: readonly TcpSocket[]): ReadonlySet<bigint> =>
  new Set(sockets.map(({ cookie }) => cookie));

/** Undefined if nobody can tell. */
export async function socketsIn(
  native: Pick<NativeBinding, 'tcpSockets'>,
  netns: string | undefined,
  log: Logger,
): Promise<readonly TcpSocket[] | undefined> {
  if (netns === undefined) return undefined;
  try {
    return await native.tcpSockets(netns);
  } catch (thrown) {
    log.warn({ netns, err: asMeshError(thrown) }, 'the sockets of a namespace cannot be listed');
    return undefined;
  }
}
