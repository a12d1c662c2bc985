/**
 * HPACK decoder (RFC 7541): one per connection, fed every complete header block in order, because each may change the
 * dynamic table. A block that is too large to keep is still decoded to its end, so one bad stream does not cost the
 * connection. Names and values are octets, held as latin1 strings; `fields.ts` judges them.
 */
import { H2Violation, errorCode } from '../errors.ts';
import type { HeaderField, HeaderList } from '../contract.ts';
import { DynamicTable, fieldSize } from './dynamic-table.ts';
import { huffmanDecode } from './huffman.ts';
import { staticTable } from './static-table.ts';

/** SETTINGS_HEADER_TABLE_SIZE's initial value (RFC 9113 §6.5.2), which we never change. */
export const headerTableSize = 4096;

/** Integers are lengths and indices here; more than 28 bits is an attack, not a header. */
const maxIntegerShift = 21;

export class HpackDecoder {
  readonly #table = new DynamicTable(headerTableSize);
  #block: Uint8Array = new Uint8Array(0);
  #at = 0;

  /**
   * The fields of one block, or undefined when they exceed `maxListSize` (counted as RFC 9113 §6.5.2 does).
   * @throws H2Violation COMPRESSION_ERROR; the decoder is then of no more use, nor is the connection.
   */
  decode(block: Uint8Array, maxListSize: number): HeaderList | undefined {
    this.#block = block;
    this.#at = 0;
    this.#readSizeUpdates();
    const fields: HeaderField[] = [];
    let size = 0;
    while (this.#at < block.length) {
      const field = this.#readField();
      size += fieldSize(field[0], field[1]);
      if (size <= maxListSize) fields.push(field);
    }
    return size <= maxListSize ? fields : undefined;
  }

  /** RFC 7541 §4.2: size updates stand at the beginning of a block only, two of them at most. */
  #readSizeUpdates(): void {
    for (let updates = 0; (this.#peek() & 0xe0) === 0x20 && this.#at < this.#block.length; updates++) {
      const size = this.#readInteger(5);
      if (size > headerTableSize || updates === 2) throw failure('bad dynamic table size update');
      this.#table.resize(size);
    }
  }

  #readField(): HeaderField {
    const first = this.#peek();
    if ((first & 0x80) !== 0) return this.#lookUp(this.#readInteger(7));
    if ((first & 0x40) !== 0) {
      const field = this.#readLiteral(6);
      this.#table.add(field);
      return field;
    }
    if ((first & 0x20) !== 0) throw failure('dynamic table size update inside a block');
    return this.#readLiteral(4);
  }

  #readLiteral(prefixBits: number): HeaderField {
    const index = this.#readInteger(prefixBits);
    const name = index === 0 ? this.#readString() : this.#lookUp(index)[0];
    return [name, this.#readString()];
  }

  #lookUp(index: number): HeaderField {
    const field =
      index <= staticTable.length ? staticTable[index - 1] : this.#table.get(index - staticTable.length - 1);
    if (field === undefined) throw failure(`no table entry ${index}`);
    return field;
  }

  #readString(): string {
    const huffman = (this.#peek() & 0x80) !== 0;
    const length = this.#readInteger(7);
    const end = this.#at + length;
    if (end > this.#block.length) throw failure('string runs past the block');
    const bytes = this.#block.subarray(this.#at, end);
    this.#at = end;
    return huffman ? huffmanDecode(bytes) : latin1(bytes);
  }

  /** RFC 7541 §5.1: the low bits of this byte, then 7 bits a byte while the high bit is set. */
  #readInteger(prefixBits: number): number {
    const max = (1 << prefixBits) - 1;
    let value = this.#next() & max;
    if (value < max) return value;
    for (let shift = 0; shift <= maxIntegerShift; shift += 7) {
      const byte = this.#next();
      value += (byte & 0x7f) << shift;
      if ((byte & 0x80) === 0) return value;
    }
    throw failure('integer too large');
  }

  #peek(): number {
    return this.#block[this.#at] ?? 0;
  }

  #next(): number {
    const byte = this.#block[this.#at++];
    if (byte === undefined) throw failure('block ends inside a field');
    return byte;
  }
}

const failure = (reason: string): H2Violation =>
  new H2Violation(errorCode.compressionError, `HPACK: ${reason}`);

const latin1 = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
