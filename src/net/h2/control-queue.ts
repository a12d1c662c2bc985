/** Control frames that wait to be pulled, in order; they leave as one chunk. */
export class ControlQueue {
  #frames: Buffer[] = [];

  get length(): number {
    return this.#frames.length;
  }

  push(frame: Buffer): void {
    this.#frames.push(frame);
  }

  /** Moves everything to `out`; returns how many bytes that was. */
  take(out: Uint8Array[]): number {
    const [first] = this.#frames;
    if (first === undefined) return 0;
    const chunk = this.#frames.length === 1 ? first : Buffer.concat(this.#frames);
    this.#frames = [];
    out.push(chunk);
    return chunk.length;
  }

  clear(): void {
    this.#frames = [];
  }
}
