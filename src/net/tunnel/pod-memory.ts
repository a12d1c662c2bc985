/**
 * What the connections of one pod hold in this process for applications and peers that do not read: what sockets have
 * not taken, and what streams have queued. Windows bound each stream and each tunnel, but there may be many: past the
 * limit somebody must give way, or one pod takes the node's memory.
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

  /** Moved on from where it was added, which is removed: the sum is the same in a moment. */
  keep(bytes: number): void {
    this.#held += bytes;
  }

  remove(bytes: number): void {
    this.#held -= bytes;
  }
}
