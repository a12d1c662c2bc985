/**
 * Ends of kernel-path connections that were read together. Told one by one, or those of a pair together, which are added up
 * where they lie: of ten thousand a second only what is told becomes objects.
 */
import type { SocketAddress } from '../../base/ip.ts';
import type { WorkloadUid } from '../../model/mesh.ts';
import { u32, u64, u64AsNumber, u8 } from '../abi/field.ts';
import { ended } from '../abi/layout.ts';
import { EndedPairs } from './ended-pairs.ts';
import { dialledOf, endsOf } from './kernel-path.ts';

/** One connection that ended, or several of a pair: then the last one of them, with the sums of all and the longest of times. */
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
  /** How many it stands for. */
  readonly connections: number;
}

export interface EndedContext {
  /** Nanoseconds of the monotonic clock, as the kernel's. */
  readonly nowNs: number;
  readonly uidOf: (podId: number) => WorkloadUid | undefined;
}

export class EndedBatch implements Iterable<EndedConnection> {
  readonly #records: DataView;
  readonly #starts: readonly number[];
  readonly #context: EndedContext;

  /** @param starts where in `records` each record begins, the first to end first */
  constructor(records: DataView, starts: readonly number[], context: EndedContext) {
    this.#records = records;
    this.#starts = starts;
    this.#context = context;
  }

  get size(): number {
    return this.#starts.length;
  }

  /** Each by itself. */
  [Symbol.iterator](): Iterator<EndedConnection> {
    return this.told(Infinity)[Symbol.iterator]();
  }

  /**
   * The first so many each by itself, then of the others those of a pair together.
   * @param isApart of those that are told by themselves whatever there is, and do not count
   */
  told(oneByOne: number, isApart?: (cookie: bigint) => boolean): readonly EndedConnection[] {
    const told: EndedConnection[] = [];
    const sums = new EndedPairs(this.#records, () => new Sum());
    let left = oneByOne;
    for (const start of this.#starts) {
      const apart = isApart?.(cookieAt(this.#records, start)) === true;
      if (apart || left > 0) told.push(this.#read(new Sum().add(this.#records, start)));
      else sums.of(start).add(this.#records, start);
      if (!apart) left -= 1;
    }
    for (const sum of sums.all()) told.push(this.#read(sum));
    return told;
  }

  #read({ last, ...sum }: Sum): EndedConnection {
    const { nowNs, uidOf } = this.#context;
    const record = ended.read(this.#records, last);
    return {
      ...endsOf(record.flow),
      dialled: dialledOf(record),
      sourceUid: uidOf(record.sourcePodId),
      cookie: record.socketCookie,
      ageMs: milliseconds(nowNs - record.endedAt),
      durationMs: milliseconds(sum.longestNs),
      bytesSent: sum.bytesSent,
      bytesReceived: sum.bytesReceived,
      rttMs: sum.longestSrttUs === 0 ? undefined : sum.longestSrttUs / 8000,
      retransmits: sum.retransmits,
      accelerated: sum.accelerated,
      connections: sum.connections,
    };
  }
}

const at = ended.offsets;

export const cookieAt = (records: DataView, start: number): bigint =>
  u64.read(records, start + at.socketCookie);

/** `BPF_TCP_…`: where the application had closed and the other side knew; and where the other side had. */
const finAcknowledged = new Set([5, 6, 9]); // FIN_WAIT2, TIME_WAIT, LAST_ACK
const finReceived = new Set([5, 6, 8, 9, 11]); // the same, CLOSE_WAIT, CLOSING

/** What records add up to. */
class Sum {
  connections = 0;
  /** Where the last one begins. */
  last = 0;
  longestNs = 0;
  bytesSent = 0;
  bytesReceived = 0;
  /** Eight times the round trip; 0: never measured. */
  longestSrttUs = 0;
  retransmits = 0;
  accelerated = false;

  add(records: DataView, start: number): this {
    const state = u8.read(records, start + at.lastState);
    const acked = u64AsNumber.read(records, start + at.bytesAcked);
    const received = u64AsNumber.read(records, start + at.bytesReceived);
    this.connections += 1;
    this.last = start;
    this.longestNs = Math.max(this.longestNs, lifetimeNs(records, start));
    this.bytesSent += dataBytes(acked, 1 + (finAcknowledged.has(state) ? 1 : 0));
    this.bytesReceived += dataBytes(received, finReceived.has(state) ? 1 : 0);
    this.longestSrttUs = Math.max(this.longestSrttUs, u32.read(records, start + at.srttUs));
    this.retransmits += u32.read(records, start + at.retransmits);
    this.accelerated ||= u8.read(records, start + at.accelerated) !== 0;
    return this;
  }
}

const lifetimeNs = (records: DataView, start: number): number =>
  u64AsNumber.read(records, start + at.endedAt) - u64AsNumber.read(records, start + at.openedAt);

const milliseconds = (ns: number): number => Math.max(0, ns / 1e6);

/** SYN and FIN count as a byte each. */
const dataBytes = (counted: number, control: number): number => Math.max(0, counted - control);
