/**
 * Connections that the kernel carries by itself, as ztunnel looks after them: those that a change of the mesh denies are
 * ended, and those that have ended become records like all others.
 */
import type { Clock } from '../base/clock.ts';
import type { SocketAddress } from '../base/ip.ts';
import type { EndedBatch, EndedConnection } from '../datapath/kernel-path/ended-batch.ts';
import type { KernelConnection } from '../datapath/kernel-path/kernel-path.ts';
import type {
  ConnectionId,
  ConnectionPeer,
  ConnectionRecord,
  ConnectionSummary,
  Verdict,
} from '../model/connection.ts';
import type { NodeName, WorkloadUid } from '../model/mesh.ts';
import type { MeshReader, MeshView } from '../model/view.ts';
import { mayChangeVerdicts } from '../policy/verdict-changes.ts';
import type { Ledger } from './account.ts';
import { type Authorizer, denial, verdictOn } from './authorize.ts';
import { EndedStorm } from './ended-storm.ts';
import { dialledFacts, peerAt, podPeer, type SettledFacts } from './facts.ts';
import { newTraceId } from './headers.ts';

export interface KernelConnectionsDeps {
  readonly mesh: MeshReader;
  readonly node: NodeName;
  readonly authorizer: Authorizer;
  readonly ledger: Ledger;
  readonly nextId: () => ConnectionId;
  readonly clock: Pick<Clock, 'now'>;
  readonly kernel: {
    /** All there are at this moment. */
    connections(): readonly KernelConnection[];
    cut(connections: readonly KernelConnection[]): Promise<void>;
  };
  /** Nanoseconds of the kernel's monotonic clock. */
  readonly monotonicNs: () => bigint;
  /** Told of how many were ended at once. */
  readonly wereCut: (count: number) => void;
}

/** Ended connections whose end has not been heard of; it may have been lost. */
const maxRevoked = 65_536;

type Ends = Pick<KernelConnection, 'source' | 'destination' | 'dialled' | 'sourceUid'>;

export class KernelConnections {
  readonly #deps: KernelConnectionsDeps;
  /** Why a connection was ended, by its socket's cookie. */
  readonly #revoked = new Map<bigint, Verdict>();
  readonly #storm: EndedStorm;
  readonly #unsubscribe: () => void;

  /** To be made after whoever takes the kernel's verdicts back: what is admitted from then on is judged by the new mesh. */
  constructor(deps: KernelConnectionsDeps) {
    this.#deps = deps;
    this.#storm = new EndedStorm(deps.clock);
    this.#unsubscribe = deps.mesh.subscribe((view, diff) => {
      if (mayChangeVerdicts(view, diff, ({ node }) => node === deps.node)) this.judge(view);
    });
  }

  /** Ends those that would not be let in any more. */
  judge(view: MeshView = this.#deps.mesh.view): void {
    const verdictFor = this.#judgeOf(view);
    const doomed = this.#deps.kernel.connections().filter((connection) => {
      const verdict = verdictFor(connection);
      if (verdict === undefined || verdict.allowed) return false;
      this.#revoke(connection.cookie, verdict);
      return true;
    });
    if (doomed.length === 0) return;
    this.#deps.wereCut(doomed.length);
    void this.#deps.kernel.cut(doomed);
  }

  /** Those that the kernel carries now, with whose they are. Of the bytes it tells at the end only. */
  live(): readonly ConnectionSummary[] {
    const { kernel, mesh, clock, monotonicNs } = this.#deps;
    const [now, monotonic] = [clock.now(), monotonicNs()];
    return kernel
      .connections()
      .filter(({ isAdmitted }) => isAdmitted)
      .map((connection) => ({
        ...factsOf(mesh.view, connection, connection.destinationUid),
        id: `s-${connection.cookie.toString(36)}` as ConnectionId,
        openedAt: now - Number(monotonic - connection.openedAt) / 1e6,
        bytesSent: 0,
        bytesReceived: 0,
        accelerated: connection.isAccelerated,
      }));
  }

  /** Of those that were ended here each has a record of its own, whatever storm it is in. */
  ended(batch: EndedBatch): void {
    const revoked = this.#revoked;
    const isApart = revoked.size === 0 ? undefined : (cookie: bigint): boolean => revoked.has(cookie);
    for (const told of this.#storm.told(batch, isApart)) this.#tell(told, this.#takeRevoked(told.cookie));
  }

  #tell(connection: EndedConnection, revoked: Verdict | undefined): void {
    const { ledger, nextId, mesh, authorizer, clock } = this.#deps;
    const { ageMs, durationMs, bytesSent, bytesReceived, rttMs, retransmits, accelerated, connections } =
      connection;
    const facts = factsOf(mesh.view, connection, mesh.view.workloadByIp(connection.destination.ip)?.uid);
    const record: ConnectionRecord = {
      ...facts,
      id: nextId(),
      verdict: revoked ?? asLetIn(verdictOn(facts, authorizer, mesh.view)),
      traceId: newTraceId(),
      openedAt: clock.now() - ageMs - durationMs,
      durationMs,
      bytesSent,
      bytesReceived,
      error: revoked === undefined ? undefined : lateDenial(revoked),
      kernel: { rttMs, retransmits },
      accelerated,
      ...(connections > 1 && { connections }),
    };
    ledger.completed(record);
  }

  #takeRevoked(cookie: bigint): Verdict | undefined {
    if (this.#revoked.size === 0) return undefined;
    const verdict = this.#revoked.get(cookie);
    this.#revoked.delete(cookie);
    return verdict;
  }

  stop(): void {
    this.#unsubscribe();
  }

  /** Many connections are of few pairs. Undefined: nobody has a say, because the pod that is reached left the mesh. */
  #judgeOf(view: MeshView): (connection: KernelConnection) => Verdict | undefined {
    const known = new Map<string, Verdict | undefined>();
    return (connection) => {
      const { source, destination, sourcePodId, destinationUid } = connection;
      const key = [sourcePodId, source.ip, destinationUid, destination.ip, destination.port].join(' ');
      if (!known.has(key)) known.set(key, this.#verdictFor(view, connection));
      return known.get(key);
    };
  }

  #verdictFor(view: MeshView, connection: KernelConnection): Verdict | undefined {
    const { destinationUid } = connection;
    const facts = factsOf(view, connection, destinationUid);
    if (destinationUid === undefined || facts.destination.workload === undefined) return undefined;
    return facts.source.workload === undefined ? nobodys : verdictOn(facts, this.#deps.authorizer, view);
  }

  #revoke(cookie: bigint, verdict: Verdict): void {
    this.#revoked.set(cookie, verdict);
    const [oldest] = this.#revoked.keys();
    if (this.#revoked.size > maxRevoked && oldest !== undefined) this.#revoked.delete(oldest);
  }
}

/** The pod left the mesh, and nobody knows any more which one it was. */
const nobodys: Verdict = {
  allowed: false,
  policy: undefined,
  reason: 'the pod that dialled is not known any more, and something has changed',
};

/** It was let in, and nobody ended it: who would be denied by now was allowed by what was in force then. */
const asLetIn = (now: Verdict | undefined): Verdict | undefined =>
  now?.allowed === false ? earlierAllowed : now;

const earlierAllowed: Verdict = {
  allowed: true,
  policy: undefined,
  reason: 'it was allowed when it was made; policies or pods have changed since',
};

function factsOf(view: MeshView, ends: Ends, destinationUid: WorkloadUid | undefined): SettledFacts {
  return {
    direction: 'inbound',
    path: 'kernel',
    source: peerOf(view, ends.source, ends.sourceUid),
    destination: peerOf(view, ends.destination, destinationUid),
    ...dialledFacts(view, ends.dialled ?? ends.destination),
    hboneAddress: undefined,
    verdict: undefined,
    traceId: undefined,
  };
}

/** The kernel says whose socket it is, which is as good as a certificate. */
function peerOf(view: MeshView, address: SocketAddress, uid: WorkloadUid | undefined): ConnectionPeer {
  const workload = uid === undefined ? undefined : view.workloads.get(uid);
  return workload === undefined
    ? { ...peerAt(view, address), workload: undefined }
    : podPeer(address, workload);
}

function lateDenial(verdict: Verdict): ConnectionRecord['error'] {
  const { code, message } = denial(verdict, { late: true });
  return { code, hop: 'policy', message, hint: undefined };
}
