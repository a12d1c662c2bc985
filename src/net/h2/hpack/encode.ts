/**
 * HPACK encoder (RFC 7541) without a dynamic table: static entries, and literals without indexing. Fields of a tunnel
 * differ from stream to stream, so a table would cost more than it saves, and no state means no attack on it.
 */
import type { HeaderList } from '../contract.ts';
import { staticFieldIndex, staticNameIndex } from './static-table.ts';

/** Sent before the first block: the dynamic table stays empty, whatever size the peer allows, now or later. */
export const emptyTableUpdate = 0x20;

/** A header block. Names and values must be latin1 (checked where they enter the session). */
export function hpackEncode(headers: HeaderList, first: boolean): Buffer {
  const out = Buffer.allocUnsafe(
    headers.reduce((sum, [name, value]) => sum + name.length + value.length + 16, 1),
  );
  let at = first ? out.writeUInt8(emptyTableUpdate, 0) : 0;
  for (const [name, value] of headers) at = writeField(out, at, name, value);
  return out.subarray(0, at);
}

function writeField(out: Buffer, at: number, name: string, value: string): number {
  const field = staticFieldIndex(name, value);
  if (field !== undefined) return writeInteger(out, at, 0x80, 7, field);
  const index = staticNameIndex.get(name);
  const next =
    index === undefined ? writeString(out, out.writeUInt8(0, at), name) : writeInteger(out, at, 0, 4, index);
  return writeString(out, next, value);
}

function writeString(out: Buffer, at: number, text: string): number {
  const start = writeInteger(out, at, 0, 7, text.length);
  return start + out.write(text, start, 'latin1');
}

function writeInteger(out: Buffer, at: number, pattern: number, prefixBits: number, value: number): number {
  const max = (1 << prefixBits) - 1;
  if (value < max) return out.writeUInt8(pattern | value, at);
  let next = out.writeUInt8(pattern | max, at);
  let rest = value - max;
  for (; rest >= 0x80; rest >>>= 7) next = out.writeUInt8((rest & 0x7f) | 0x80, next);
  return out.writeUInt8(rest, next);
}
