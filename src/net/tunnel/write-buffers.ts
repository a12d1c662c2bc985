/**
 * Buffers that gather many small chunks into one TLS write, used again as soon as the write is done. Fresh ones would
 * live outside V8's heap and make it collect garbage every few tens of MB, at a fifth of the CPU of bulk transfer.
 */

/** Spare buffers kept; more are made and dropped when more tunnels write at once. */
const keptAtMost = 16;

export class WriteBuffers {
  readonly #sizeBytes: number;
  readonly #spare: Buffer[] = [];

  constructor(sizeBytes: number) {
    this.#sizeBytes = sizeBytes;
  }

  /**
   * The chunks in one piece, for `write` to pass on, and the function to call when that is done. One chunk, and what is
   * too large, is passed on without a copy into a buffer of ours.
   */
  gather(chunks: readonly Uint8Array[]): { readonly bytes: Uint8Array; readonly release: () => void } {
    const [first] = chunks;
    if (first !== undefined && chunks.length === 1) return { bytes: first, release: nothing };
    const length = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
    if (length > this.#sizeBytes) return { bytes: Buffer.concat(chunks, length), release: nothing };
    const buffer = this.#spare.pop() ?? Buffer.allocUnsafeSlow(this.#sizeBytes);
    let at = 0;
    for (const chunk of chunks) {
      buffer.set(chunk, at);
      at += chunk.length;
    }
    return { bytes: buffer.subarray(0, length), release: () => this.#keep(buffer) };
  }

  #keep(buffer: Buffer): void {
    if (this.#spare.length < keptAtMost) this.#spare.push(buffer);
  }
}

const nothing = (): void => {};
