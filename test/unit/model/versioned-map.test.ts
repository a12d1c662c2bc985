import { describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import { VersionedMap } from '../../../src/model/versioned-map.ts';

interface Item {
  readonly n: number;
}

const contents = (map: ReadonlyMap<number, Item>): [number, Item][] => [...map].toSorted(([a], [b]) => a - b);

describe('a versioned map', () => {
  it('holds in every version what a plain map copied at that time holds', () => {
    const item = fc.option(fc.record({ n: fc.nat() }), { nil: undefined, freq: 3 });
    const change = fc.array(fc.tuple(fc.nat({ max: 400 }), item), { maxLength: 250 });
    fc.assert(
      fc.property(fc.array(change, { maxLength: 12 }), (changes) => {
        const expected: Map<number, Item>[] = [new Map()];
        const versions = [VersionedMap.empty<number, Item>()];
        for (const entries of changes) {
          const plain = new Map(expected.at(-1));
          for (const [key, value] of new Map(entries)) {
            if (value === undefined) plain.delete(key);
            else plain.set(key, value);
          }
          expected.push(plain);
          const last = versions.at(-1);
          if (last !== undefined) versions.push(last.with(new Map(entries)));
        }
        for (const [i, version] of versions.entries()) {
          const plain = expected[i] ?? new Map<number, Item>();
          expect(version.size).toBe(plain.size);
          expect(contents(version)).toEqual(contents(plain));
          const keys = Array.from({ length: 401 }, (_, key) => key);
          expect(keys.filter((key) => version.get(key) !== plain.get(key))).toEqual([]);
          expect(keys.filter((key) => version.has(key) !== plain.has(key))).toEqual([]);
        }
      }),
      { numRuns: 40 },
    );
  });

  it('is the same map when nothing changes', () => {
    const map = VersionedMap.empty<string, Item>().with(new Map([['a', { n: 1 }]]));
    expect(map.with(new Map())).toBe(map);
  });

  it('iterates over keys, values and entries alike', () => {
    const map = VersionedMap.empty<string, Item>().with(
      new Map([
        ['a', { n: 1 }],
        ['b', { n: 2 }],
      ]),
    );
    const seen: unknown[] = [];
    for (const [key, value] of map.entries()) seen.push([key, value]);
    const visited: unknown[] = [];
    map.forEach((value, key, whole) => visited.push([key, value, whole === map]));
    expect(seen).toEqual([
      ['a', { n: 1 }],
      ['b', { n: 2 }],
    ]);
    expect(visited).toEqual([
      ['a', { n: 1 }, true],
      ['b', { n: 2 }, true],
    ]);
    expect([[...map.keys()], [...map.values()]]).toEqual([
      ['a', 'b'],
      [{ n: 1 }, { n: 2 }],
    ]);
  });
});
