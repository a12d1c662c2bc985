/**
 * Reads and writes what programs of another version keep in their maps, by the names of fields: where they are, the map
 * itself says (BTF). Good for every version in which a field of the same name means the same; whoever changes a meaning
 * gives the field another name. What cannot be read for certain is not read at all.
 */
import type { BtfStruct } from '../../native/binding.ts';
import { decode, encode, type Field } from './field.ts';
import { isStruct, type StructLayout } from './struct.ts';

export interface EarlierLayout<T> {
  readonly sizeBytes: number;
  /** Undefined: one of its fields holds more than ours has room for. Fields that it does not have are zero. */
  decode(bytes: Uint8Array): T | undefined;
  /** Into `bytes`; what we know nothing of stays what it was. */
  encode(value: T, bytes: Uint8Array): void;
}

/** A field that both have. */
interface Piece {
  readonly theirs: number;
  readonly theirSize: number;
  readonly ours: number;
  readonly ourSize: number;
}

/**
 * @param sizeBytes what the map says of its keys or values
 * @param needed fields without which the rest says nothing: `origin.pod_id`
 * @returns undefined if it cannot be read
 */
export function earlierLayout<T>(
  field: Field<T>,
  structs: readonly BtfStruct[],
  sizeBytes: number,
  needed: readonly string[] = [],
): EarlierLayout<T> | undefined {
  const pieces = isStruct(field)
    ? structPieces(field, structs, sizeBytes, needed)
    : wholePiece(field.sizeBytes, sizeBytes);
  if (pieces === undefined) return undefined;
  return {
    sizeBytes,
    decode(bytes) {
      const ours = new Uint8Array(field.sizeBytes);
      return pieces.every((piece) => take(piece, bytes, ours)) ? decode(field, ours) : undefined;
    },
    encode(value, bytes) {
      const ours = encode(field, value);
      for (const piece of pieces) give(piece, ours, bytes);
    },
  };
}

const wholePiece = (ours: number, theirs: number): readonly Piece[] | undefined =>
  ours === theirs ? [{ theirs: 0, theirSize: theirs, ours: 0, ourSize: ours }] : undefined;

function structPieces(
  layout: StructLayout,
  structs: readonly BtfStruct[],
  sizeBytes: number,
  needed: readonly string[],
): readonly Piece[] | undefined {
  const byName = new Map(structs.map((struct) => [struct.name, struct]));
  if (byName.get(layout.name)?.sizeBytes !== sizeBytes) return undefined;
  const pieces = new Map(piecesOf(layout, byName, { path: '', theirs: 0, ours: 0 }));
  return needed.every((path) => pieces.has(path)) ? [...pieces.values()] : undefined;
}

interface Origin {
  readonly path: string;
  readonly theirs: number;
  readonly ours: number;
}

function piecesOf(
  layout: StructLayout,
  structs: ReadonlyMap<string, BtfStruct>,
  at: Origin,
): (readonly [string, Piece])[] {
  const theirs = structs.get(layout.name);
  return layout.members.flatMap(({ name, offsetBytes, sizeBytes, struct }) => {
    const member = theirs?.members.find((one) => one.name === name && one.offsetBits % 8 === 0);
    if (member === undefined) return [];
    const path = `${at.path}${name}`;
    const [their, our] = [at.theirs + member.offsetBits / 8, at.ours + offsetBytes];
    if (struct !== undefined) {
      const isThatStruct = structs.get(struct.name)?.sizeBytes === member.sizeBytes;
      return isThatStruct ? piecesOf(struct, structs, { path: `${path}.`, theirs: their, ours: our }) : [];
    }
    return [[path, { theirs: their, theirSize: member.sizeBytes, ours: our, ourSize: sizeBytes }] as const];
  });
}

/** Numbers are little-endian and texts end with NUL: a longer field has zeros at its end. False if those are none. */
function take({ theirs, theirSize, ours, ourSize }: Piece, from: Uint8Array, to: Uint8Array): boolean {
  const bytes = from.subarray(theirs, theirs + theirSize);
  to.set(bytes.subarray(0, ourSize), ours);
  return bytes.subarray(ourSize).every((byte) => byte === 0);
}

function give({ theirs, theirSize, ours, ourSize }: Piece, from: Uint8Array, to: Uint8Array): void {
  to.fill(0, theirs, theirs + theirSize);
  to.set(from.subarray(ours, ours + Math.min(ourSize, theirSize)), theirs);
}
