/**
 * Codecs for C data: numbers, addresses, text and flags as the kernel side lays them out. `struct.ts` puts them
 * together, `layout.ts` names those of the project.
 */
import { endianness } from 'node:os';
import { MeshError } from '../../base/errors.ts';
import { type IpAddress, ipFromBytes, ipToBytes, ipv4FromWord, ipv4Word, isIpv4 } from '../../base/ip.ts';

/** Reads and writes a value of a fixed size. */
export interface Field<T> {
  readonly sizeBytes: number;
  readonly alignBytes: number;
  read(view: DataView, offset: number): T;
  write(view: DataView, offset: number, value: T): void;
}

// BPF programs run in the byte order of the machine.
const little = endianness() === 'LE';

const textDecoder = new TextDecoder();
const textEncoder = new TextEncoder();

export const u8: Field<number> = {
  sizeBytes: 1,
  alignBytes: 1,
  read: (view, offset) => view.getUint8(offset),
  write: (view, offset, value) => view.setUint8(offset, value),
};

export const u16: Field<number> = {
  sizeBytes: 2,
  alignBytes: 2,
  read: (view, offset) => view.getUint16(offset, little),
  write: (view, offset, value) => view.setUint16(offset, value, little),
};

export const u32: Field<number> = {
  sizeBytes: 4,
  alignBytes: 4,
  read: (view, offset) => view.getUint32(offset, little),
  write: (view, offset, value) => view.setUint32(offset, value, little),
};

export const u64: Field<bigint> = {
  sizeBytes: 8,
  alignBytes: 8,
  read: (view, offset) => view.getBigUint64(offset, little),
  write: (view, offset, value) => view.setBigUint64(offset, value, little),
};

/** A u64 as a number, for clocks and counts: exact below 2^53, beyond it off by a few (nanoseconds, after 104 days). */
export const u64AsNumber: Field<number> = {
  ...u64,
  read: (view, offset) =>
    view.getUint32(offset + (little ? 4 : 0), little) * 2 ** 32 +
    view.getUint32(offset + (little ? 0 : 4), little),
  write: (view, offset, value) => u64.write(view, offset, BigInt(value)),
};

/** A byte, 0 or 1. */
export const bool: Field<boolean> = {
  ...u8,
  read: (view, offset) => u8.read(view, offset) !== 0,
  write: (view, offset, value) => u8.write(view, offset, value ? 1 : 0),
};

/** A window on the view's own memory. */
export const bytesAt = (view: DataView, offset: number, length: number): Uint8Array =>
  new Uint8Array(view.buffer, view.byteOffset + offset, length);

/** The third of four words of an IPv4 address, whose first two are 0. */
const ipv4Mark = 0xffff;

const startsWithZeros = (view: DataView, offset: number): boolean =>
  view.getInt32(offset) === 0 && view.getInt32(offset + 4) === 0;

/** `struct mesh_addr`. IPv4 by words: every captured connection has three of them. */
export const address: Field<IpAddress> = {
  sizeBytes: 16,
  alignBytes: 4,
  read(view, offset) {
    const isMapped = startsWithZeros(view, offset) && view.getInt32(offset + 8) === ipv4Mark;
    return isMapped ? ipv4FromWord(view.getInt32(offset + 12)) : ipFromBytes(bytesAt(view, offset, 16));
  },
  write(view, offset, value) {
    if (!isIpv4(value)) return bytesAt(view, offset, 16).set(ipToBytes(value));
    view.setBigInt64(offset, 0n);
    view.setInt32(offset + 8, ipv4Mark);
    view.setInt32(offset + 12, ipv4Word(value));
  },
};

/** `struct mesh_addr` where all zero means that there is none. */
export const optionalAddress: Field<IpAddress | undefined> = {
  ...address,
  read: (view, offset) =>
    startsWithZeros(view, offset) && startsWithZeros(view, offset + 8)
      ? undefined
      : address.read(view, offset),
  write: (view, offset, value) =>
    value === undefined ? void bytesAt(view, offset, 16).fill(0) : address.write(view, offset, value),
};

/** `char[sizeBytes]`, NUL-terminated UTF-8. Text that is too long is cut, never in the middle of a character. */
export function text(sizeBytes: number): Field<string> {
  return {
    sizeBytes,
    alignBytes: 1,
    read(view, offset) {
      const bytes = bytesAt(view, offset, sizeBytes);
      const end = bytes.indexOf(0);
      return textDecoder.decode(bytes.subarray(0, end < 0 ? sizeBytes : end));
    },
    write(view, offset, value) {
      const bytes = bytesAt(view, offset, sizeBytes);
      bytes.fill(0);
      textEncoder.encodeInto(value, bytes.subarray(0, sizeBytes - 1));
    },
  };
}

/** A C enum as one of its names. */
export function choice<Name extends string>(
  base: Field<number>,
  values: Readonly<Record<Name, number>>,
): Field<Name> {
  const names = new Map<number, Name>(entries(values).map(([name, value]) => [value, name]));
  return {
    ...base,
    read(view, offset) {
      const value = base.read(view, offset);
      const name = names.get(value);
      if (name === undefined) throw new MeshError('ABI_MISMATCH', `${value} is not a value of this field`);
      return name;
    },
    write: (view, offset, name) => base.write(view, offset, values[name]),
  };
}

/** Bit flags as named booleans; bits without a name are dropped. */
export function bits<Name extends string>(
  base: Field<number>,
  values: Readonly<Record<Name, number>>,
): Field<Readonly<Record<Name, boolean>>> {
  const named = entries(values);
  return {
    ...base,
    read(view, offset) {
      const value = base.read(view, offset);
      const flags = Object.fromEntries(named.map(([name, bit]) => [name, (value & bit) !== 0]));
      return flags as Record<Name, boolean>;
    },
    write: (view, offset, flags) =>
      base.write(
        view,
        offset,
        named.reduce((sum, [name, bit]) => (flags[name] ? sum | bit : sum), 0),
      ),
  };
}

/** `T[length]`. Fewer values leave the rest zero, which `isUnused` tells from a value. */
export function array<T>(
  item: Field<T>,
  length: number,
  isUnused: (value: T) => boolean,
): Field<readonly T[]> {
  const offsetOf = (start: number, i: number): number => start + i * item.sizeBytes;
  return {
    sizeBytes: item.sizeBytes * length,
    alignBytes: item.alignBytes,
    read(view, offset) {
      const all = Array.from({ length }, (_, i) => item.read(view, offsetOf(offset, i)));
      return all.filter((value) => !isUnused(value));
    },
    write(view, offset, values) {
      if (values.length > length)
        throw new MeshError('INTERNAL', `${values.length} values in a field of ${length}`);
      bytesAt(view, offset, item.sizeBytes * length).fill(0);
      values.forEach((value, i) => item.write(view, offsetOf(offset, i), value));
    },
  };
}

/** Keys and values of maps that have none. */
export const nothing: Field<undefined> = {
  sizeBytes: 0,
  alignBytes: 1,
  read: () => undefined,
  write() {},
};

export function encode<T>(field: Field<T>, value: T): Uint8Array {
  return encodeAll(field, [value]);
}

/** The values one after the other, as the batch calls take them. */
export function encodeAll<T>(field: Field<T>, values: readonly T[]): Uint8Array {
  const bytes = new Uint8Array(field.sizeBytes * values.length);
  const view = viewOf(bytes);
  values.forEach((value, i) => field.write(view, i * field.sizeBytes, value));
  return bytes;
}

/** @throws MeshError ABI_MISMATCH unless `bytes` has exactly the field's size. */
export function decode<T>(field: Field<T>, bytes: Uint8Array): T {
  requireSize(field, bytes.length);
  return field.read(viewOf(bytes), 0);
}

/** Records one after the other, with where each ends, decoded as they are asked for. @throws MeshError ABI_MISMATCH */
export function* decodeEach<T>(field: Field<T>, bytes: Uint8Array, ends: Uint32Array): Generator<T> {
  const view = viewOf(bytes);
  for (const start of startsOf(field, ends)) yield field.read(view, start);
}

/** Where records that lie one after the other begin. @throws MeshError ABI_MISMATCH */
export function startsOf(field: Field<unknown>, ends: Uint32Array): readonly number[] {
  const starts: number[] = [];
  let start = 0;
  for (const end of ends) {
    requireSize(field, end - start);
    starts.push(start);
    start = end;
  }
  return starts;
}

function requireSize({ sizeBytes }: Field<unknown>, found: number): void {
  if (found !== sizeBytes)
    throw new MeshError('ABI_MISMATCH', `${found} bytes where ${sizeBytes} were expected`);
}

/** The records themselves: windows on `bytes`. */
export const recordsIn = (bytes: Uint8Array, ends: Uint32Array): readonly Uint8Array[] =>
  Array.from(ends, (end, i) => bytes.subarray(ends[i - 1] ?? 0, end));

export const viewOf = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** `Object.entries` that keeps the keys' type. */
const entries = <K extends string, V>(record: Readonly<Record<K, V>>): [K, V][] =>
  Object.entries(record) as [K, V][];
