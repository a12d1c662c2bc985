/**
 * The kernel path as user space sees it: who is behind a connection that the kernel hands to ztunnel because it has no
 * verdict, what it may pass the next time by itself, which connections it carries now, and how to end one. While it is
 * switched off, connections that began on it are still told from strangers' plaintext.
 */
import type { Port, SocketAddress } from '../../base/ip.ts';
import type { WorkloadUid } from '../../model/mesh.ts';
import type { Accelerated } from '../abi/acceleration-layout.ts';
import { type Flow, type FlowKey, nodeShare, type Origin } from '../abi/layout.ts';
import type { KernelPathScope } from '../desired.ts';
import type { MapTable } from '../map-table.ts';
import type { EnrolledPod } from '../pods.ts';
import type { FlowShares } from './flow-shares.ts';
import type { VerdictCache } from './verdict-cache.ts';

/** Who dialled a connection that ztunnel accepted in plaintext, by the kernel's record of the dialling socket. */
export type Dialler =
  /** A pod of this node, on the kernel path, with an address of its own. `dialled`: a Service's, if it was that. */
  | {
      readonly type: 'pod';
      readonly uid: WorkloadUid;
      readonly podId: number;
      readonly dialled: SocketAddress | undefined;
    }
  /** Somebody on the kernel path who is no enrolled pod any more, or uses a foreign address: not to be let in. */
  | { readonly type: 'nobody'; readonly dialled: SocketAddress | undefined }
  /** Plaintext from anywhere. */
  | { readonly type: 'stranger' };

/** A connection on the kernel path. */
export interface KernelConnection {
  readonly source: SocketAddress;
  readonly destination: SocketAddress;
  /** The Service's address, if it was that which was dialled. */
  readonly dialled: SocketAddress | undefined;
  readonly sourcePodId: number;
  /** Undefined: the pod left the mesh under an earlier node program. */
  readonly sourceUid: WorkloadUid | undefined;
  /** Undefined: no enrolled pod has the address. */
  readonly destinationUid: WorkloadUid | undefined;
  /** Nanoseconds of the monotonic clock. */
  readonly openedAt: bigint;
  /** The dialling socket's. */
  readonly cookie: bigint;
  /** By a verdict. If not, it is on its way, or ztunnel is to be asked about it. */
  readonly isAdmitted: boolean;
  /** What it carries goes from socket to socket, at least in part. */
  readonly isAccelerated: boolean;
}

export interface KernelPathDeps {
  readonly flows: Pick<MapTable<FlowKey, Flow>, 'get' | 'delete' | 'entries'>;
  readonly accelerated: Pick<MapTable<bigint, Accelerated>, 'entries'>;
  readonly verdicts: VerdictCache;
  readonly pods: {
    list(): readonly EnrolledPod[];
    /** Whose id it is or was. */
    uidOf(podId: number): WorkloadUid | undefined;
  };
  readonly shares: Pick<FlowShares, 'settle' | 'recount' | 'used' | 'shareWhile'>;
  /** Undefined: nobody takes it. */
  readonly scope: KernelPathScope | undefined;
  /** Of a connection without a record: it is one of the kernel path, whose record found no room. */
  readonly isStray?: (key: FlowKey) => boolean;
  /** Nanoseconds of the monotonic clock, as the kernel's. */
  readonly monotonicNs: () => bigint;
}

/** What a connection waits at most in ztunnel's listen queue, with room. */
const abandonedAfterNs = 60_000_000_000n;

export class KernelPath {
  readonly #deps: KernelPathDeps;

  constructor(deps: KernelPathDeps) {
    this.#deps = deps;
  }

  get isOn(): boolean {
    return this.#deps.scope !== undefined;
  }

  /** Whose pods take it; undefined: nobody's. */
  get scope(): KernelPathScope | undefined {
    return this.#deps.scope;
  }

  /** What answers have to carry: to be read together with the mesh they are made of. */
  get generation(): bigint {
    return this.#deps.verdicts.generation;
  }

  /** Of a connection just accepted; its record is used up by asking. */
  dialler(client: SocketAddress, local: SocketAddress): Dialler {
    const key = flowKeyOf(client, local);
    const flow = this.#deps.flows.get(key);
    if (flow === undefined && this.#deps.isStray?.(key) === true)
      return { type: 'nobody', dialled: undefined };
    if (flow?.origin.kind !== 'kernel') return { type: 'stranger' };
    this.#remove(key, flow);
    const pod = this.#deps.pods.list().find(({ podId }) => podId === flow.origin.podId);
    const dialled = dialledOf(flow.origin);
    if (pod?.addresses.includes(client.ip) !== true) return { type: 'nobody', dialled };
    return { type: 'pod', uid: pod.uid, podId: pod.podId, dialled };
  }

  /** The kernel need not ask again about this pair, as long as nothing has changed since `generation` was read. */
  allow(
    sourcePodId: number,
    client: SocketAddress,
    local: SocketAddress,
    destination: WorkloadUid,
    generation: bigint,
  ): void {
    const destinationPodId = this.#deps.pods.list().find(({ uid }) => uid === destination)?.podId;
    if (!this.isOn || destinationPodId === undefined) return;
    const key = {
      sourceIp: client.ip,
      destinationIp: local.ip,
      sourcePodId,
      destinationPodId,
      port: local.port,
    };
    this.#deps.verdicts.allow(key, generation);
  }

  /**
   * All there are, those included that are being looked up at this moment. Those that ztunnel accepted are its own
   * business and not among them.
   */
  connections(): KernelConnection[] {
    const { pods, flows } = this.#deps;
    const accelerated = new Set(this.#deps.accelerated.entries().map(([cookie]) => cookie));
    const byAddress = new Map(pods.list().flatMap(({ uid, addresses }) => addresses.map((ip) => [ip, uid])));
    return flows.entries().flatMap(([key, { origin, openedAt, socketCookie, stage, closed }]) =>
      origin.kind !== 'kernel' || closed
        ? []
        : {
            ...endsOf(key),
            dialled: dialledOf(origin),
            sourcePodId: origin.podId,
            sourceUid: pods.uidOf(origin.podId),
            destinationUid: byAddress.get(key.destinationIp),
            openedAt,
            cookie: socketCookie,
            isAdmitted: stage === 'admitted',
            isAccelerated: accelerated.has(socketCookie),
          },
    );
  }

  /** Pods of this node, with how many connections they have of those they may have now. */
  shares(): readonly { readonly pod: EnrolledPod; readonly used: number; readonly share: number }[] {
    const { pods, shares } = this.#deps;
    const used = this.isOn ? shares.used() : new Map<number, number>();
    const share = shares.shareWhile(used);
    return pods.list().map((pod) => ({ pod, used: used.get(pod.podId) ?? 0, share }));
  }

  /** Removes records that wait for nobody: the connection never got as far as ztunnel. And counts all others. */
  sweep(): void {
    const { flows, shares, monotonicNs } = this.#deps;
    const before = monotonicNs() - abandonedAfterNs;
    shares.recount(() => {
      const counts = new Map<number, number>();
      const count = (id: number): unknown => counts.set(id, (counts.get(id) ?? 0) + 1);
      for (const [key, flow] of flows.entries()) {
        const { kind, podId } = flow.origin;
        if (kind === 'captured') continue;
        if (flow.closed && flow.openedAt < before) {
          this.#remove(key, flow);
          continue;
        }
        count(nodeShare);
        if (kind === 'kernel') count(podId);
      }
      return counts;
    });
  }

  /** The programs remove them, too: who did it counts it. */
  #remove(key: FlowKey, { origin }: Flow): void {
    const { flows, shares } = this.#deps;
    if (flows.delete(key)) shares.settle(origin.podId);
  }
}

/** What the application dialled; undefined if it is what was reached. Port 0 cannot be dialled: connect() has refused it. */
export const dialledOf = ({
  originalIp,
  originalPort,
}: Pick<Origin, 'originalIp' | 'originalPort'>): SocketAddress | undefined =>
  originalIp === undefined ? undefined : { ip: originalIp, port: originalPort as Port };

export const flowKeyOf = (source: SocketAddress, destination: SocketAddress): FlowKey => ({
  sourceIp: source.ip,
  sourcePort: source.port,
  destinationIp: destination.ip,
  destinationPort: destination.port,
});

export const endsOf = (
  key: FlowKey,
): { readonly source: SocketAddress; readonly destination: SocketAddress } => ({
  source: { ip: key.sourceIp, port: key.sourcePort as Port },
  destination: { ip: key.destinationIp, port: key.destinationPort as Port },
});
