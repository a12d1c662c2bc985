/** Kernel-path connections that ended, as the programs tell of them: records of the `ended` ring. */
import type { SocketAddress } from '../../base/ip.ts';
import type { WorkloadUid } from '../../model/mesh.ts';
import type { RingBuffer } from '../../native/binding.ts';
import { decode } from '../abi/field.ts';
import { type Ended, ended } from '../abi/layout.ts';
import { dialledOf, endsOf } from './kernel-path.ts';

export interface EndedConnection {
  readonly source: SocketAddress;
  readonly destination: SocketAddress;
  /** The Service's address, if it was that which was dialled. */
  readonly dialled: SocketAddress | undefined;
  /** Undefined: the pod left the mesh under an earlier node program. */
  readonly sourceUid: WorkloadUid | undefined;
  /** The dialling socket's. */
  readonly cookie: bigint;
  /** Milliseconds since it ended. Some may have waited for an agent. */
  readonly ageMs: number;
  readonly durationMs: number;
  /** From the side that dialled. One too many or too few where the kernel does not tell data from its end. */
  readonly bytesSent: number;
  readonly bytesReceived: number;
  /** Smoothed round trip; undefined: never measured. */
  readonly rttMs: number | undefined;
  readonly retransmits: number;
}

/** `BPF_TCP_…`: where the application had closed and the other side knew; and where the other side had. */
const finAcknowledged = new Set([5, 6, 9]); // FIN_WAIT2, TIME_WAIT, LAST_ACK
const finReceived = new Set([5, 6, 8, 9, 11]); // the same, CLOSE_WAIT, CLOSING

/** Hands on every record until it is stopped. */
export function followEnded(
  deps: {
    readonly ring: Pick<RingBuffer, 'start' | 'close'>;
    /** Of programs of another version that were in force; closed by whoever opened them. */
    readonly earlierRings?: readonly {
      readonly ring: Pick<RingBuffer, 'start'>;
      readonly read: (record: Uint8Array) => Ended | undefined;
    }[];
    /** Whether this end was told of already, by other programs. */
    readonly isTold?: (cookie: bigint) => boolean;
    readonly uidOf: (podId: number) => WorkloadUid | undefined;
    /** Nanoseconds of the monotonic clock, as the kernel's. */
    readonly monotonicNs: () => bigint;
  },
  heard: (connection: EndedConnection) => void,
): () => void {
  const tell = (records: readonly (Ended | undefined)[]): void => {
    const now = deps.monotonicNs();
    for (const record of records) {
      if (record === undefined || deps.isTold?.(record.socketCookie) === true) continue;
      heard(readEnded(record, now, deps.uidOf));
    }
  };
  deps.ring.start((records) => tell(records.map((record) => decode(ended, record))));
  for (const { ring, read } of deps.earlierRings ?? []) ring.start((records) => tell(records.map(read)));
  return () => deps.ring.close();
}

function readEnded(
  { flow, openedAt, endedAt, socketCookie, sourcePodId, lastState, srttUs, retransmits, ...rest }: Ended,
  now: bigint,
  uidOf: (podId: number) => WorkloadUid | undefined,
): EndedConnection {
  return {
    ...endsOf(flow),
    dialled: dialledOf(rest),
    sourceUid: uidOf(sourcePodId),
    cookie: socketCookie,
    ageMs: milliseconds(now - endedAt),
    durationMs: milliseconds(endedAt - openedAt),
    bytesSent: dataBytes(rest.bytesAcked, 1 + (finAcknowledged.has(lastState) ? 1 : 0)),
    bytesReceived: dataBytes(rest.bytesReceived, finReceived.has(lastState) ? 1 : 0),
    rttMs: srttUs === 0 ? undefined : srttUs / 8000,
    retransmits,
  };
}

const milliseconds = (ns: bigint): number => Math.max(0, Number(ns) / 1e6);

/** SYN and FIN count as a byte each. */
const dataBytes = (counted: bigint, control: number): number => Math.max(0, Number(counted) - control);
