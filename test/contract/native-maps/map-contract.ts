/**
 * What map calls do, whoever answers them: the addon (test/native/maps-contract.test.ts) or its in-memory twin
 * (fake.test.ts here).
 */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { Fd, MapCalls } from '../../../src/native/binding.ts';
import { isNativeError } from '../../../src/native/errors.ts';

/** Maps with 4-byte keys and 8-byte values, fresh for each test. */
export interface MapsUnderTest {
  readonly calls: MapCalls;
  /** `capacity` entries. */
  hash(capacity: number): Fd;
  array(capacity: number): Fd;
  /** Key: u32 length in bits, 4 bytes; value: u32; 16 entries. */
  trie(): Fd;
  close(): void;
}

const u32 = (...values: number[]): Uint8Array => new Uint8Array(Uint32Array.from(values).buffer);
const u64 = (...values: number[]): Uint8Array => new Uint8Array(BigUint64Array.from(values, BigInt).buffer);
const prefix = (bits: number, ...ip: number[]): Uint8Array => Uint8Array.of(...u32(bits), ...ip);

/** Code of the NativeError that `body` throws. */
function codeOf(body: () => unknown): string {
  try {
    body();
  } catch (thrown) {
    if (isNativeError(thrown)) return thrown.code;
    throw thrown;
  }
  return 'nothing was thrown';
}

export function describeMapContract(open: () => MapsUnderTest): void {
  let maps: MapsUnderTest;
  let calls: MapCalls;
  beforeEach(() => {
    maps = open();
    calls = maps.calls;
  });
  afterEach(() => maps.close());

  describe('one entry', () => {
    it('is read back as it was written', () => {
      const fd = maps.hash(4);
      calls.mapUpdate(fd, u32(1), u64(10), 0);
      expect(calls.mapLookup(fd, u32(1))).toEqual(u64(10));
      expect(calls.mapLookup(fd, u32(2))).toBeNull();
      calls.mapUpdate(fd, u32(1), u64(11), 0);
      expect(calls.mapLookup(fd, u32(1))).toEqual(u64(11));
    });

    it('does not change with the bytes it came from', () => {
      const fd = maps.hash(4);
      const value = u64(10);
      calls.mapUpdate(fd, u32(1), value, 0);
      value.fill(0);
      calls.mapLookup(fd, u32(1))?.fill(1);
      expect(calls.mapLookup(fd, u32(1))).toEqual(u64(10));
    });

    it('is deleted once', () => {
      const fd = maps.hash(4);
      calls.mapUpdate(fd, u32(1), u64(10), 0);
      expect(calls.mapDelete(fd, u32(1))).toBe(true);
      expect(calls.mapDelete(fd, u32(1))).toBe(false);
    });

    it('is taken out once', () => {
      const fd = maps.hash(4);
      calls.mapUpdate(fd, u32(1), u64(10), 0);
      expect(calls.mapLookupAndDelete(fd, u32(1))).toEqual(u64(10));
      expect(calls.mapLookupAndDelete(fd, u32(1))).toBeNull();
    });

    it('is written only if missing, or only if there, when asked so', () => {
      const fd = maps.hash(4);
      expect(codeOf(() => calls.mapUpdate(fd, u32(1), u64(1), 2))).toBe('ENOENT');
      calls.mapUpdate(fd, u32(1), u64(1), 1);
      expect(codeOf(() => calls.mapUpdate(fd, u32(1), u64(2), 1))).toBe('EEXIST');
      calls.mapUpdate(fd, u32(1), u64(2), 2);
      expect(calls.mapLookup(fd, u32(1))).toEqual(u64(2));
    });
  });

  describe('a map', () => {
    it('tells its layout', () => {
      expect(calls.mapInfo(maps.hash(4))).toMatchObject({ type: 1, keySize: 4, valueSize: 8, maxEntries: 4 });
    });

    it('that is full refuses new keys, not new values', () => {
      const fd = maps.hash(4);
      calls.mapUpdateBatch(fd, u32(1, 2, 3, 4), u64(1, 2, 3, 4), 4);
      expect(codeOf(() => calls.mapUpdate(fd, u32(5), u64(5), 0))).toBe('E2BIG');
      expect(codeOf(() => calls.mapUpdateBatch(fd, u32(6), u64(6), 1))).toBe('E2BIG');
      calls.mapUpdate(fd, u32(4), u64(40), 0);
      expect(calls.mapDump(fd).count).toBe(4);
    });

    it('refuses keys and values of another size', () => {
      const fd = maps.hash(4);
      expect(codeOf(() => calls.mapLookup(fd, u64(1)))).toBe('ERR_ARGUMENT');
      expect(codeOf(() => calls.mapDelete(fd, new Uint8Array(0)))).toBe('ERR_ARGUMENT');
      expect(codeOf(() => calls.mapLookupAndDelete(fd, u64(1)))).toBe('ERR_ARGUMENT');
      expect(codeOf(() => calls.mapUpdate(fd, u32(1), u32(1), 0))).toBe('ERR_ARGUMENT');
      expect(codeOf(() => calls.mapUpdateBatch(fd, u32(1, 2), u64(1, 2), 3))).toBe('ERR_ARGUMENT');
      expect(codeOf(() => calls.mapDeleteBatch(fd, u32(1, 2), 1))).toBe('ERR_ARGUMENT');
      expect(calls.mapDump(fd).count).toBe(0);
    });

    it('is dumped with keys and values in the same order', () => {
      const fd = maps.hash(64);
      const numbers = Array.from({ length: 50 }, (_, i) => i + 1);
      calls.mapUpdateBatch(fd, u32(...numbers), u64(...numbers), 50);
      const { keys, values, count } = calls.mapDump(fd);
      expect(count).toBe(50);
      const dumped = new Uint32Array(keys.buffer, keys.byteOffset, count);
      expect([...dumped].toSorted((a, b) => a - b)).toEqual(numbers);
      expect([...new BigUint64Array(values.slice().buffer)]).toEqual([...dumped].map(BigInt));
    });

    it('that is empty is dumped as nothing', () => {
      expect(calls.mapDump(maps.hash(4))).toMatchObject({ count: 0, keys: u32(), values: u64() });
    });

    it('takes empty batches', () => {
      const fd = maps.hash(4);
      calls.mapUpdateBatch(fd, u32(), u64(), 0);
      expect(calls.mapDeleteBatch(fd, u32(), 0)).toBe(0);
    });

    it('deletes what exists of a batch and says how many that were', () => {
      const fd = maps.hash(8);
      calls.mapUpdateBatch(fd, u32(1, 2, 3, 4), u64(1, 2, 3, 4), 4);
      expect(calls.mapDeleteBatch(fd, u32(9, 1, 8, 8, 3, 1, 7), 7)).toBe(2);
      expect(calls.mapDump(fd).count).toBe(2);
    });
  });

  describe('an array', () => {
    it('has all its entries from the start and loses none', () => {
      const fd = maps.array(3);
      expect(calls.mapDump(fd)).toMatchObject({ count: 3, keys: u32(0, 1, 2), values: u64(0, 0, 0) });
      expect(codeOf(() => calls.mapDelete(fd, u32(1)))).toBe('EINVAL');
      expect(codeOf(() => calls.mapUpdate(fd, u32(3), u64(1), 0))).toBe('E2BIG');
    });
  });

  describe('a prefix trie', () => {
    it('answers with the longest prefix that covers the key', () => {
      const fd = maps.trie();
      calls.mapUpdate(fd, prefix(0, 0, 0, 0, 0), u32(1), 0);
      calls.mapUpdate(fd, prefix(12, 10, 16, 0, 0), u32(2), 0);
      calls.mapUpdate(fd, prefix(32, 10, 16, 0, 9), u32(3), 0);
      const answers = [
        prefix(32, 10, 16, 0, 9),
        prefix(32, 10, 31, 0, 9),
        prefix(32, 10, 32, 0, 9),
        prefix(8, 10, 0, 0, 0),
      ].map((key) => calls.mapLookup(fd, key));
      expect(answers).toEqual([u32(3), u32(2), u32(1), u32(1)]);
    });

    it('that is full answers ENOSPC', () => {
      const fd = maps.trie();
      const fill = (): void => {
        for (let i = 0; i <= 16; i++) calls.mapUpdate(fd, prefix(32, 10, 0, 0, i), u32(i), 0);
      };
      expect(codeOf(fill)).toBe('ENOSPC');
    });
  });
}
