/**
 * Buffers that gather many small chunks into one write, used again as soon as the write is done. Fresh ones would live
 * outside V8's heap and make it collect garbage every few tens of MB, at a fifth of the CPU of bulk transfer.
 */

/** Spare buffers kept; more are made and dropped when more connections write at once. */
const keptAtMost = 64;

/** Bytes in one piece for a `write`, and the function to call when that is done. */
export interface Gathered {
  readonly bytes: Uint8Array;
  readonly release: () => void;
}

export class WriteBuffers {
  readonly sizeBytes: number;
  readonly #spare: Buffer[] = [];
  /** Buffers that hold copies, by their memory. */
  readonly #copies = new Map<ArrayBufferLike, Buffer>();

  constructor(sizeBytes: number) {
    this.sizeBytes = sizeBytes;
  }

  /** One chunk, and what is too large, is passed on without a copy into a buffer of ours. */
  gather(chunks: readonly Uint8Array[]): Gathered {
    const [first] = chunks;
    if (first !== undefined && chunks.length === 1) return { bytes: first, release: nothing };
    const length = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
    if (length > this.sizeBytes) return { bytes: Buffer.concat(chunks, length), release: nothing };
    const buffer = this.take();
    let at = 0;
    for (const chunk of chunks) {
      buffer.set(chunk, at);
      at += chunk.length;
    }
    return { bytes: buffer.subarray(0, length), release: () => this.giveBack(buffer) };
  }

  /** A copy that is good until it is released. */
  copy(chunk: Uint8Array): Uint8Array {
    if (chunk.length > this.sizeBytes) return Buffer.from(chunk);
    const buffer = this.take();
    buffer.set(chunk);
    this.#copies.set(buffer.buffer, buffer);
    return buffer.subarray(0, chunk.length);
  }

  /** For a copy, or any part of it; what is none is nobody's here. */
  release(chunk: Uint8Array): void {
    const buffer = this.#copies.get(chunk.buffer);
    if (buffer === undefined) return;
    this.#copies.delete(chunk.buffer);
    this.giveBack(buffer);
  }

  /** A buffer of `sizeBytes`, for the caller alone. */
  take(): Buffer {
    return this.#spare.pop() ?? Buffer.allocUnsafeSlow(this.sizeBytes);
  }

  giveBack(buffer: Buffer): void {
    if (this.#spare.length < keptAtMost) this.#spare.push(buffer);
  }
}

const nothing = (): void => {};
