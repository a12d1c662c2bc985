/** Something for each pair that records of ended connections are of, found by the records' bytes. */
import { address } from '../abi/field.ts';
import { ended, flowKey } from '../abi/layout.ts';

const { flow, sourcePodId, originalIp, originalPort } = ended.offsets;
const wordsOf = (offset: number): number[] =>
  Array.from({ length: address.sizeBytes / 4 }, (_, i) => offset + 4 * i);

/** What makes a pair: all but the port that the kernel chose for the source. */
const words = [
  sourcePodId,
  ...[flow + flowKey.offsets.sourceIp, flow + flowKey.offsets.destinationIp, originalIp].flatMap(wordsOf),
];
const ports = [flow + flowKey.offsets.destinationPort, originalPort];

interface Entry<T> {
  /** Where a record of the pair begins. */
  readonly start: number;
  readonly value: T;
  /** Of another pair with the same hash. */
  readonly next: Entry<T> | undefined;
}

export class EndedPairs<T> {
  readonly #records: DataView;
  readonly #make: () => T;
  readonly #hashOf: typeof hashOf;
  readonly #entries = new Map<number, Entry<T>>();
  readonly #values: T[] = [];

  constructor(records: DataView, make: () => T, hash = hashOf) {
    this.#records = records;
    this.#make = make;
    this.#hashOf = hash;
  }

  /** Of the pair that the record at `start` is of. */
  of(start: number): T {
    const hash = this.#hashOf(this.#records, start);
    const first = this.#entries.get(hash);
    for (let entry = first; entry !== undefined; entry = entry.next) {
      if (isSamePair(this.#records, entry.start, start)) return entry.value;
    }
    const value = this.#make();
    this.#entries.set(hash, { start, value, next: first });
    this.#values.push(value);
    return value;
  }

  /** The pair that was seen first is the first. */
  all(): readonly T[] {
    return this.#values;
  }
}

function hashOf(records: DataView, start: number): number {
  let hash = 0;
  for (const offset of words) hash = mix(hash, records.getInt32(start + offset));
  for (const offset of ports) hash = mix(hash, records.getUint16(start + offset));
  return hash;
}

function mix(hash: number, word: number): number {
  const mixed = Math.imul(hash ^ word, 0x9e3779b1);
  return mixed ^ (mixed >>> 15);
}

const isSamePair = (records: DataView, a: number, b: number): boolean =>
  words.every((offset) => records.getInt32(a + offset) === records.getInt32(b + offset)) &&
  ports.every((offset) => records.getUint16(a + offset) === records.getUint16(b + offset));
