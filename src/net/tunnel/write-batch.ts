/**
 * What one connection writes at once, copied: the bytes it is given are good only while they are given. A few go into
 * copies of just their size, for thousands of connections may each have some; many go into one of the shared buffers.
 */
import type { Gathered, WriteBuffers } from './write-buffers.ts';

/** Bytes that are not worth a buffer. */
const fewBytes = 4 << 10;

export class WriteBatch {
  readonly #buffers: WriteBuffers;
  #few: Buffer[] = [];
  #buffer: Buffer | undefined;
  #length = 0;

  constructor(buffers: WriteBuffers) {
    this.#buffers = buffers;
  }

  get length(): number {
    return this.#length;
  }

  /** Copies what there is room for, and returns how much that was. */
  add(bytes: Uint8Array): number {
    const length = Math.min(bytes.length, this.#buffers.sizeBytes - this.#length);
    const part = length === bytes.length ? bytes : bytes.subarray(0, length);
    if (this.#buffer === undefined && this.#length + length <= fewBytes) this.#few.push(Buffer.from(part));
    else this.#buffered().set(part, this.#length);
    this.#length += length;
    return length;
  }

  /** Everything added, of which there must be some. Nothing is added after it. */
  take(): Gathered {
    const buffer = this.#buffer;
    if (buffer !== undefined) {
      return { bytes: buffer.subarray(0, this.#length), release: () => this.#buffers.giveBack(buffer) };
    }
    const [only] = this.#few;
    const bytes =
      only !== undefined && this.#few.length === 1 ? only : Buffer.concat(this.#few, this.#length);
    return { bytes, release: nothing };
  }

  /** The shared buffer, with the few bytes that there were. */
  #buffered(): Buffer {
    if (this.#buffer !== undefined) return this.#buffer;
    this.#buffer = this.#buffers.take();
    let at = 0;
    for (const bytes of this.#few) {
      this.#buffer.set(bytes, at);
      at += bytes.length;
    }
    this.#few = [];
    return this.#buffer;
  }
}

const nothing = (): void => {};
