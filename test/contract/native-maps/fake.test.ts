// The in-memory twin of the addon's map calls keeps the contract.
import { describe, expect, it } from '@jest/globals';
import { FakeMaps, fakeMapTypes } from '../../../src/native/fake.ts';
import { describeMapContract } from './map-contract.ts';

describe('fake maps', () => {
  describeMapContract(() => {
    const calls = new FakeMaps();
    return {
      calls,
      hash: (maxEntries) => calls.create({ type: fakeMapTypes.hash, keySize: 4, valueSize: 8, maxEntries }),
      array: (maxEntries) => calls.create({ type: fakeMapTypes.array, keySize: 4, valueSize: 8, maxEntries }),
      trie: () => calls.create({ type: fakeMapTypes.lpmTrie, keySize: 8, valueSize: 4, maxEntries: 16 }),
      close: () => {},
    };
  });

  it('of the LRU kind drop an old entry instead of being full', () => {
    const maps = new FakeMaps();
    const fd = maps.create({ type: fakeMapTypes.lruHash, keySize: 1, valueSize: 1, maxEntries: 2 });
    for (const i of [1, 2, 3]) maps.mapUpdate(fd, Uint8Array.of(i), Uint8Array.of(i), 0);
    expect(maps.mapDump(fd)).toMatchObject({ count: 2, keys: Uint8Array.of(2, 3) });
  });
});
