/**
 * The node's memory of its connections: those alive now, and the last ones of every pod. It is the store behind
 * `mesh-ebpf connections`. Bounded three ways so that neither a busy pod nor a flood of failures pushes out what
 * somebody may want to ask about: per pod, per outcome within the pod, and in all. It does not log or count.
 */
import type { ConnectionId, ConnectionRecord, ConnectionSummary } from '../model/connection.ts';
import { matches, type ConnectionFilter } from './connection-filter.ts';
import { outcomeOf } from './outcome.ts';

/** A connection that is open; `summary` reads the engine's byte counters each time it is called. */
export interface LiveConnection {
  readonly id: ConnectionId;
  summary(): ConnectionSummary;
}

export interface RegistryOptions {
  /** Records kept in all. One takes about 1 KiB. */
  readonly capacity?: number;
  /** Records kept of one pod and one kind of outcome (good, not good). */
  readonly capacityPerPod?: number;
}

/** A completed record with its place in the node's history: `sequence` grows by one per record. */
export interface KeptRecord {
  readonly sequence: number;
  readonly record: ConnectionRecord;
}

export interface RecentQuery extends ConnectionFilter {
  /** Only records that came after this sequence number; for following. */
  readonly after?: number;
  /** At most this many, the newest. */
  readonly limit?: number;
}

export interface RecentAnswer {
  /** Oldest first. */
  readonly records: readonly KeptRecord[];
  /** Sequence of the newest record there ever was: what to pass as `after` next time. */
  readonly last: number;
  /** Records after `after` that were forgotten before this query. */
  readonly lost: number;
}

export class ConnectionRegistry {
  readonly #capacity: number;
  readonly #capacityPerPod: number;
  readonly #live = new Map<ConnectionId, LiveConnection>();
  /** One ring per pod and kind of outcome, oldest first; never empty, and all together hold `#kept` records. */
  readonly #rings = new Map<string, KeptRecord[]>();
  #kept = 0;
  #last = 0;
  #noticed: () => void = () => {};
  #elsewhere: () => readonly ConnectionSummary[] = () => [];

  constructor(options: RegistryOptions = {}) {
    this.#capacity = options.capacity ?? 4096;
    this.#capacityPerPod = options.capacityPerPod ?? 256;
  }

  get liveCount(): number {
    return this.#live.size;
  }

  get keptCount(): number {
    return this.#kept;
  }

  opened(connection: LiveConnection): void {
    this.#live.set(connection.id, connection);
  }

  /** Connections that nobody here opens: read whenever somebody asks for those alive. */
  alsoLive(read: () => readonly ConnectionSummary[]): void {
    this.#elsewhere = read;
  }

  /** Called after each record. */
  onRecord(noticed: () => void): void {
    this.#noticed = noticed;
  }

  /** Also for connections that never were `opened`. */
  completed(record: ConnectionRecord): void {
    this.#live.delete(record.id);
    this.#last += 1;
    this.#keep({ sequence: this.#last, record });
    this.#noticed();
  }

  /** What an earlier process remembered; before anything else is told. */
  restore(records: readonly KeptRecord[]): void {
    for (const kept of records.toSorted((a, b) => a.sequence - b.sequence)) {
      if (kept.sequence <= this.#last) continue;
      this.#last = kept.sequence;
      this.#keep(kept);
    }
  }

  #keep(kept: KeptRecord): void {
    const key = ringKey(kept.record);
    const ring = this.#rings.get(key) ?? [];
    this.#rings.set(key, ring);
    ring.push(kept);
    this.#kept += 1;
    const full = this.#kept > this.#capacity;
    // A ring above its fair share pays for itself; only a small one needs the search for a larger.
    const greedy = ring.length > this.#capacityPerPod || ring.length > this.#capacity / this.#rings.size;
    if (ring.length > this.#capacityPerPod || (full && greedy)) this.#forgetOldest(key, ring);
    else if (full) this.#forgetFromLargest();
  }

  live(filter: ConnectionFilter = {}): readonly ConnectionSummary[] {
    const found: ConnectionSummary[] = [];
    for (const connection of this.#live.values()) {
      const summary = connection.summary();
      if (matches(summary, filter)) found.push(summary);
    }
    return [...found, ...this.#elsewhere().filter((summary) => matches(summary, filter))];
  }

  recent(query: RecentQuery = {}): RecentAnswer {
    const after = query.after ?? 0;
    const newer = [...this.#rings.values()].flatMap((ring) => newerThan(after, ring));
    const found = newer
      .filter((kept) => matches(kept.record, query))
      .toSorted((a, b) => a.sequence - b.sequence);
    return {
      records: found.slice(Math.max(0, found.length - (query.limit ?? found.length))),
      last: this.#last,
      lost: Math.max(0, this.#last - after) - newer.length,
    };
  }

  #forgetOldest(key: string, ring: KeptRecord[]): void {
    ring.shift();
    this.#kept -= 1;
    if (ring.length === 0) this.#rings.delete(key);
  }

  /** The pod with the most to remember pays, so that a quiet pod's one failure outlives a busy pod's thousandth. */
  #forgetFromLargest(): void {
    let largest: [string, KeptRecord[]] | undefined;
    for (const entry of this.#rings) if (entry[1].length > (largest?.[1].length ?? 0)) largest = entry;
    if (largest !== undefined) this.#forgetOldest(...largest);
  }
}

/** Most of what somebody asks for who follows is at the end. */
function newerThan(after: number, ring: readonly KeptRecord[]): readonly KeptRecord[] {
  let first = ring.length;
  while (first > 0 && (ring[first - 1]?.sequence ?? 0) > after) first -= 1;
  return ring.slice(first);
}

/** The pod that tells the story is this node's: the source of an outbound connection, the target of an inbound one. */
function ringKey(record: ConnectionRecord): string {
  const own = record.direction === 'outbound' ? record.source : record.destination;
  return `${outcomeOf(record) === 'completed' ? '+' : '-'}${own.workload?.uid ?? ''}`;
}
