/** Lines out of chunks of bytes, none longer than a limit. */
export class LineReader {
  readonly #maxBytes: number;
  readonly #line: (line: string) => void;
  #chunks: Buffer[] = [];
  #bytes = 0;

  constructor(maxBytes: number, line: (line: string) => void) {
    this.#maxBytes = maxBytes;
    this.#line = line;
  }

  /** False when a line became too long: nothing more can be read then. */
  push(chunk: Buffer): boolean {
    let rest = chunk;
    for (let end = rest.indexOf(newline); end !== -1; end = rest.indexOf(newline)) {
      if (!this.#keep(rest.subarray(0, end))) return false;
      const line = Buffer.concat(this.#chunks).toString();
      this.#chunks = [];
      this.#bytes = 0;
      this.#line(line);
      rest = rest.subarray(end + 1);
    }
    return this.#keep(rest);
  }

  #keep(part: Buffer): boolean {
    this.#bytes += part.length;
    if (part.length > 0) this.#chunks.push(part);
    return this.#bytes <= this.#maxBytes;
  }
}

const newline = 0x0a;
