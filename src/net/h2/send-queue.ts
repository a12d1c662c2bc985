/** Payload of one stream that waits for its turn and for windows: the owner's chunks, in order, by reference. */

/** What a queued chunk costs beside its bytes, roughly: one-byte chunks must not fill the memory. */
const chunkOverhead = 256;

/** Chunks already taken that may stay at the front of the list before it is cut. */
const maxSpent = 64;

export class SendQueue {
  #chunks: Uint8Array[] = [];
  /** Index of the first chunk still queued. */
  #head = 0;
  #bytes = 0;

  get bytes(): number {
    return this.#bytes;
  }

  /** Memory held, bytes. */
  get weight(): number {
    return this.#bytes + (this.#chunks.length - this.#head) * chunkOverhead;
  }

  push(chunk: Uint8Array): void {
    if (chunk.length === 0) return;
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
  }

  /** Copies the chunk pushed last, as far as it is still here: its owner uses the memory again. */
  own(): void {
    const last = this.#chunks.length - 1;
    const chunk = this.#chunks[last];
    if (chunk !== undefined && last >= this.#head) this.#chunks[last] = Buffer.from(chunk);
  }

  /** Moves the first `bytes` bytes, of which there must be as many, to the end of `out`. */
  take(bytes: number, out: Uint8Array[]): void {
    this.#bytes -= bytes;
    for (let left = bytes; left > 0;) left -= this.#takeChunk(left, out);
    if (this.#bytes === 0) this.clear();
    else if (this.#head > maxSpent) this.#cut();
  }

  clear(): void {
    this.#chunks = [];
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
    this.#head++;
    return chunk.length;
  }

  #cut(): void {
    this.#chunks = this.#chunks.slice(this.#head);
    this.#head = 0;
  }
}
