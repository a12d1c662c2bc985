/** The dynamic table of an HPACK decoder (RFC 7541 §2.3.2, §4): the newest entry is the first. */
import type { HeaderField } from '../contract.ts';

/** RFC 7541 §4.1: what a field counts beside its octets. */
export const fieldOverhead = 32;

export const fieldSize = (name: string, value: string): number => name.length + value.length + fieldOverhead;

export class DynamicTable {
  /** Oldest first, so that adding is a push. */
  readonly #entries: HeaderField[] = [];
  /** Sum of the entries' sizes, at most `#capacity`. */
  #size = 0;
  #capacity: number;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  get length(): number {
    return this.#entries.length;
  }

  /** `index` 0 is the entry added last. */
  get(index: number): HeaderField | undefined {
    return this.#entries[this.#entries.length - 1 - index];
  }

  /** A field larger than the whole table empties it and is not added (RFC 7541 §4.4). */
  add(field: HeaderField): void {
    const size = fieldSize(field[0], field[1]);
    this.#evict(this.#capacity - size);
    if (size > this.#capacity) return;
    this.#entries.push(field);
    this.#size += size;
  }

  resize(capacity: number): void {
    this.#capacity = capacity;
    this.#evict(capacity);
  }

  #evict(target: number): void {
    while (this.#size > target) {
      const oldest = this.#entries.shift();
      if (oldest === undefined) return;
      this.#size -= fieldSize(oldest[0], oldest[1]);
    }
  }
}
