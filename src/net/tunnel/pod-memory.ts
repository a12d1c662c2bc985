/**
 * What the connections of one pod hold in this process for applications that do not read. Windows bound each stream and
 * each tunnel, but peers may open many: past the limit somebody must give way, or one pod takes the node's memory.
 */
export class PodMemory {
  readonly #limitBytes: number;
  readonly #relieve: () => void;
  #held = 0;

  /** @param relieve must make the greediest connection `remove` what it holds, at once. */
  constructor(limitBytes: number, relieve: () => void) {
    this.#limitBytes = limitBytes;
    this.#relieve = relieve;
  }

  add(bytes: number): void {
    this.#held += bytes;
    if (this.#held > this.#limitBytes) this.#relieve();
  }

  remove(bytes: number): void {
    this.#held -= bytes;
  }
}
