/**
 * C structs as codecs: members placed by C's own rules of alignment, so that a layout is written down once and its
 * offsets follow. `check.ts` compares them with the BPF object.
 */
import { bytesAt, type Field } from './field.ts';

export interface StructMember {
  /** As in C: `original_ip`. */
  readonly name: string;
  readonly offsetBytes: number;
  readonly sizeBytes: number;
  /** Its own layout, if it is a struct itself. */
  readonly struct: StructLayout | undefined;
}

export interface StructLayout {
  /** As in C: `mesh_flow`. */
  readonly name: string;
  readonly sizeBytes: number;
  readonly members: readonly StructMember[];
}

export type Struct<T> = Field<T> &
  StructLayout & {
    /** Where each member begins, for those who read a few of them of many records. */
    readonly offsets: Readonly<Record<keyof T & string, number>>;
  };

/** A C struct. Members stand in the order of `fields`; padding is C's, and zero. */
export function struct<T extends object>(
  name: string,
  fields: { readonly [K in keyof T]: Field<T[K]> },
): Struct<T> {
  const places = place(Object.entries<Field<T[keyof T]>>(fields) as [keyof T & string, Field<T[keyof T]>][]);
  const alignBytes = Math.max(...places.map(({ field }) => field.alignBytes));
  const sizeBytes = alignUp(
    Math.max(...places.map(({ field, offset }) => offset + field.sizeBytes)),
    alignBytes,
  );
  return {
    name,
    sizeBytes,
    alignBytes,
    members: places.map(({ key, field, offset }) => ({
      name: snakeCase(key),
      offsetBytes: offset,
      sizeBytes: field.sizeBytes,
      struct: isStruct(field) ? field : undefined,
    })),
    offsets: Object.fromEntries(places.map(({ key, offset }) => [key, offset])) as Record<
      keyof T & string,
      number
    >,
    read(view, start) {
      // Storms of connections come through here, and Object.fromEntries takes twice as long.
      const value: Record<string, T[keyof T]> = {};
      for (const { key, field, offset } of places) value[key] = field.read(view, start + offset);
      return value as unknown as T;
    },
    write(view, start, value) {
      bytesAt(view, start, sizeBytes).fill(0);
      for (const { key, field, offset } of places) field.write(view, start + offset, value[key]);
    },
  };
}

export const isStruct = <T>(field: Field<T>): field is Struct<T> => 'members' in field;

interface Place<K, T> {
  readonly key: K;
  readonly field: Field<T>;
  readonly offset: number;
}

/** Offsets by C's rule: each member at the next multiple of its own alignment. */
function place<K, T>(fields: readonly (readonly [K, Field<T>])[]): Place<K, T>[] {
  let end = 0;
  return fields.map(([key, field]) => {
    const offset = alignUp(end, field.alignBytes);
    end = offset + field.sizeBytes;
    return { key, field, offset };
  });
}

const alignUp = (value: number, align: number): number => Math.ceil(value / align) * align;

const snakeCase = (key: string): string => key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
