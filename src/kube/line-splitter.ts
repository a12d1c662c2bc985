/** Bytes → lines of bounded length. No IO. */

const newline = 0x0a;

export class LineSplitter {
  readonly #maxBytes: number;
  #parts: Buffer[] = [];
  #held = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Whether a line has begun that has not ended. */
  get isMidLine(): boolean {
    return this.#held > 0;
  }

  /** The lines that `chunk` completes, without their ends. @throws RangeError for a line too long */
  *push(chunk: Buffer): Generator<string> {
    let start = 0;
    for (let end = chunk.indexOf(newline); end >= 0; end = chunk.indexOf(newline, start)) {
      this.#hold(chunk.subarray(start, end));
      yield this.#take();
      start = end + 1;
    }
    this.#hold(chunk.subarray(start));
  }

  #hold(part: Buffer): void {
    if (part.length === 0) return;
    this.#held += part.length;
    if (this.#held > this.#maxBytes) {
      throw new RangeError(`a line is longer than ${this.#maxBytes} bytes`);
    }
    this.#parts.push(part);
  }

  #take(): string {
    const [first, ...more] = this.#parts;
    const line = first === undefined ? '' : more.length === 0 ? first : Buffer.concat(this.#parts);
    this.#parts = [];
    this.#held = 0;
    return line.toString();
  }
}
