import { describe, expect, it } from '@jest/globals';
import { earlierLayout } from '../../../src/datapath/abi/earlier-layout.ts';
import { encode, text, u16, u32, u64 } from '../../../src/datapath/abi/field.ts';
import { struct } from '../../../src/datapath/abi/struct.ts';
import type { BtfStruct } from '../../../src/native/binding.ts';

const inner = struct<{ id: number; port: number }>('inner', { id: u32, port: u16 });
const outer = struct<{ cookie: bigint; origin: { id: number; port: number }; name: string }>('outer', {
  cookie: u64,
  origin: inner,
  name: text(8),
});
const value = { cookie: 7n, origin: { id: 3, port: 80 }, name: 'web' };

type Member = readonly [name: string, offset: number, size: number];
const btf = (name: string, sizeBytes: number, ...members: readonly Member[]): BtfStruct => ({
  name,
  sizeBytes,
  members: members.map(([member, offset, size]) => ({
    name: member,
    offsetBits: offset * 8,
    sizeBytes: size,
  })),
});

const asOurs = (
  innerMembers: readonly Member[] = [
    ['id', 0, 4],
    ['port', 4, 2],
  ],
): BtfStruct[] => [
  btf('outer', outer.sizeBytes, ['cookie', 0, 8], ['origin', 8, 8], ['name', 16, 8]),
  btf('inner', 8, ...innerMembers),
];

describe('a layout of another version', () => {
  it('that is the same is read as it is', () => {
    expect(earlierLayout(outer, asOurs(), outer.sizeBytes)?.decode(encode(outer, value))).toEqual(value);
  });

  it('is read by names, wherever they are, and written without touching the rest', () => {
    const structs = [
      btf('outer', 40, ['new', 0, 8], ['name', 8, 16], ['origin', 24, 8], ['cookie', 32, 8]),
      btf('inner', 8, ['port', 0, 2], ['id', 4, 4]),
    ];
    const layout = earlierLayout(outer, structs, 40);
    const bytes = new Uint8Array(40).fill(9);
    layout?.encode(value, bytes);
    expect(layout?.decode(bytes)).toEqual(value);
    expect(bytes.subarray(0, 8)).toEqual(new Uint8Array(8).fill(9));
    expect(new DataView(bytes.buffer).getUint32(28, true)).toBe(3);
  });

  it('has zero for fields that it did not have, unless they are needed', () => {
    const structs = [btf('outer', 16, ['cookie', 0, 8], ['origin', 8, 8]), btf('inner', 8, ['id', 0, 4])];
    const bytes = new Uint8Array([7, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 9, 9, 9, 9]);
    const expected = { cookie: 7n, origin: { id: 3, port: 0 }, name: '' };
    expect(earlierLayout(outer, structs, 16, ['cookie', 'origin.id'])?.decode(bytes)).toEqual(expected);
    expect(earlierLayout(outer, structs, 16, ['origin.port'])).toBeUndefined();
    expect(earlierLayout(outer, structs, 16, ['name'])).toBeUndefined();
  });

  it('takes shorter fields, and longer ones if what they hold fits', () => {
    const structs = [btf('outer', 32, ['cookie', 0, 4], ['name', 8, 16])];
    const layout = earlierLayout(outer, structs, 32);
    const bytes = new Uint8Array(32);
    bytes.set([7, 0, 0, 0]);
    bytes.set(Buffer.from('web'), 8);
    expect(layout?.decode(bytes)).toMatchObject({ cookie: 7n, name: 'web' });
    bytes.set(Buffer.from('longer-name'), 8);
    expect(layout?.decode(bytes)).toBeUndefined();
  });

  it.each([
    ['the struct is not there', [], outer.sizeBytes],
    ['its size is not what the map has', asOurs(), 64],
    ['a struct in it is another one', [asOurs()[0], btf('inner', 12, ['id', 0, 4])], outer.sizeBytes],
    ['a field is some bits', [...asOurs([['id', 0.5, 4]])], outer.sizeBytes],
  ] as const)('cannot be read if %s', (_why, structs, sizeBytes) => {
    const known: readonly BtfStruct[] = [...structs].filter((one) => one !== undefined);
    expect(earlierLayout(outer, known, sizeBytes, ['origin.id'])).toBeUndefined();
  });
});
