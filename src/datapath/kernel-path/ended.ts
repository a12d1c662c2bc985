/** Kernel-path connections that ended, as the programs tell of them: records of the `ended` ring. */
import type { Clock } from '../../base/clock.ts';
import type { SocketAddress } from '../../base/ip.ts';
import type { WorkloadUid } from '../../model/mesh.ts';
import type { RingBuffer } from '../../native/binding.ts';
import { decodeEach, recordsIn } from '../abi/field.ts';
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
  /** It went from socket to socket, at least in part. */
  readonly accelerated: boolean;
}

/** `BPF_TCP_…`: where the application had closed and the other side knew; and where the other side had. */
const finAcknowledged = new Set([5, 6, 9]); // FIN_WAIT2, TIME_WAIT, LAST_ACK
const finReceived = new Set([5, 6, 8, 9, 11]); // the same, CLOSE_WAIT, CLOSING

/** What ends meanwhile is read together: to wake up for each connection costs more than to tell of it. */
const restMs = 100;
/** As many as these at once, and the ring could be full after another rest. */
const manyRecords = 512;

/**
 * Hands on every record until it is stopped, what is there by then included. They are read as they are asked for: of ten
 * thousand a second none should outlive its turn.
 */
export function followEnded(
  deps: {
    readonly ring: RingBuffer;
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
    readonly clock: Pick<Clock, 'after'>;
  },
  heard: (connections: Iterable<EndedConnection>) => void,
): () => void {
  const { ring, clock } = deps;
  function* read(records: Iterable<Ended | undefined>): Generator<EndedConnection> {
    const now = deps.monotonicNs();
    for (const record of records) {
      if (record === undefined || deps.isTold?.(record.socketCookie) === true) continue;
      yield readEnded(record, now, deps.uidOf);
    }
  }
  let cancelRest: (() => void) | undefined;
  const rest = (): void => {
    ring.pause();
    cancelRest = clock.after(restMs, () => ring.resume());
  };
  ring.start((bytes, ends) => {
    if (ends.length < manyRecords) rest();
    heard(read(decodeEach(ended, bytes, ends)));
  });
  for (const earlier of deps.earlierRings ?? []) {
    earlier.ring.start((bytes, ends) => heard(read(recordsIn(bytes, ends).map(earlier.read))));
  }
  return () => {
    ring.drain();
    cancelRest?.();
    ring.close();
  };
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
    accelerated: rest.accelerated,
  };
}

const milliseconds = (ns: bigint): number => Math.max(0, Number(ns) / 1e6);

/** SYN and FIN count as a byte each. */
const dataBytes = (counted: bigint, control: number): number => Math.max(0, Number(counted) - control);
