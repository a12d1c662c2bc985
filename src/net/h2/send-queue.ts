/** Payload of one stream that waits for its turn and for windows: the owner's chunks, in order, by reference. */

/** What a queued chunk costs beside its bytes, roughly: one-byte chunks must not fill the memory. */
const chunkOverhead = 256;

/** Chunks already taken that may stay at the front of the list before it is cut. */
const maxSpent = 64;

/** Memory for copies of chunks: fresh memory for each would cost more in garbage than the copy itself. */
export interface CopyPool {
  copy(chunk: Uint8Array): Uint8Array;
  /** The chunk, a copy or some of one, is used up once the caller's turn ends; any other chunk is ignored. */
  release(chunk: Uint8Array): void;
}

/** What an empty queue holds: most queues are empty for nearly all of their lives. */
const none: Uint8Array[] = [];
Object.freeze(none);

export class SendQueue {
  #chunks = none;
  /** Index of the first chunk still queued. */
  #head = 0;
  #bytes = 0;
  /** Set once some chunk was copied. */
  #pool: CopyPool | undefined;

  get bytes(): number {
    return this.#bytes;
  }

  /** Memory held, bytes. */
  get weight(): number {
    return this.#bytes + (this.#chunks.length - this.#head) * chunkOverhead;
  }

  push(chunk: Uint8Array): void {
    if (chunk.length === 0) return;
    if (this.#chunks === none) this.#chunks = [chunk];
    else this.#chunks.push(chunk);
    this.#bytes += chunk.length;
  }

  /** Copies the chunk pushed last, as far as it is still here: its owner uses the memory again. */
  own(pool: CopyPool): void {
    const last = this.#chunks.length - 1;
    const chunk = this.#chunks[last];
    if (chunk === undefined || last < this.#head) return;
    this.#pool = pool;
    this.#chunks[last] = pool.copy(chunk);
  }

  /** Moves the first `bytes` bytes, of which there must be as many, to the end of `out`. */
  take(bytes: number, out: Uint8Array[]): void {
    this.#bytes -= bytes;
    for (let left = bytes; left > 0;) left -= this.#takeChunk(left, out);
    if (this.#bytes === 0) this.#reset();
    else if (this.#head > maxSpent) this.#cut();
  }

  clear(): void {
    if (this.#pool !== undefined) {
      for (const chunk of this.#chunks.slice(this.#head)) this.#pool.release(chunk);
    }
    this.#reset();
  }

  #reset(): void {
    this.#chunks = none;
    this.#head = 0;
    this.#bytes = 0;
  }

  #takeChunk(limit: number, out: Uint8Array[]): number {
    const chunk = this.#chunks[this.#head];
    if (chunk === undefined) throw new RangeError('the send queue holds less than was to be taken');
    if (chunk.length > limit) {
      out.push(chunk.subarray(0, limit));
      this.#chunks[this.#head] = chunk.subarray(limit);
      return limit;
    }
    out.push(chunk);
    this.#pool?.release(chunk);
    this.#head++;
    return chunk.length;
  }

  #cut(): void {
    this.#chunks = this.#chunks.slice(this.#head);
    this.#head = 0;
  }
}
