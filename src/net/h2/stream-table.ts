/**
 * Which streams there are (RFC 9113 §5.1). A stream is in the table while it is open or half-closed, and beyond that
 * while the owner still sits on bytes it received: those count against the connection's window. Of closed streams only
 * those we reset are remembered, a bounded number of them, because frames may still be under way to us.
 */
import { maxStreamId } from './constants.ts';
import type { StreamId } from './contract.ts';
import type { Stream } from './stream.ts';

/** Ids of streams we reset for which late frames are ignored. A round trip's worth. */
const rememberedResets = 4096;

/** What is known of a stream identifier: `reset` by us lately, or `closed` in any other way. */
type Standing = 'open' | 'idle' | 'reset' | 'closed';

export class StreamTable {
  readonly #role: 'client' | 'server';
  readonly #open = new Map<number, Stream>();
  /** Closed, but not everything they received has been consumed. */
  readonly #lingering = new Map<number, Stream>();
  /** Oldest first. */
  readonly #reset = new Set<number>();
  /** Highest id in use, by whichever side opens streams; 0 before the first. */
  #last = 0;

  constructor(role: 'client' | 'server') {
    this.#role = role;
  }

  get size(): number {
    return this.#open.size;
  }

  get last(): number {
    return this.#last;
  }

  /** The id a client opens next, or undefined when all are used up. */
  get nextId(): StreamId | undefined {
    const next = this.#last === 0 ? 1 : this.#last + 2;
    return this.#role === 'client' && next <= maxStreamId ? (next as StreamId) : undefined;
  }

  get(id: number): Stream | undefined {
    return this.#open.get(id);
  }

  /** Open, or closed with unconsumed bytes. */
  getReceiving(id: number): Stream | undefined {
    return this.#open.get(id) ?? this.#lingering.get(id);
  }

  all(): Stream[] {
    return [...this.#open.values()];
  }

  standing(id: number): Standing {
    if (this.#open.has(id)) return 'open';
    if (id > this.#last || id % 2 === 0) return 'idle';
    return this.#reset.has(id) ? 'reset' : 'closed';
  }

  add(stream: Stream): void {
    this.#open.set(stream.id, stream);
    this.#last = stream.id;
  }

  /** Counts a stream as used that never gets an entry: a refused request. */
  refuse(id: number): void {
    this.#last = id;
    this.#remember(id);
  }

  /** Both sides have ended. */
  close(stream: Stream): void {
    this.#open.delete(stream.id);
    if (stream.receiveWindow.unconsumed > 0) this.#lingering.set(stream.id, stream);
  }

  /** Reset by the peer, or for good. */
  delete(stream: Stream): void {
    this.#open.delete(stream.id);
  }

  /** Reset by us: what still comes for it is ignored. */
  reset(stream: Stream): void {
    this.#open.delete(stream.id);
    this.#remember(stream.id);
  }

  /** Forgets a closed stream once nothing of it is unconsumed. */
  settle(stream: Stream): void {
    if (stream.receiveWindow.unconsumed === 0) this.#lingering.delete(stream.id);
  }

  #remember(id: number): void {
    this.#reset.add(id);
    if (this.#reset.size <= rememberedResets) return;
    const [oldest] = this.#reset;
    if (oldest !== undefined) this.#reset.delete(oldest);
  }
}
