/**
 * In-memory twin of the addon's map calls, for tests of what is built on maps and needs neither root nor a kernel:
 * hash, LRU, array and prefix-trie maps with the kernel's answers and errors. `test/contract/native-maps` runs on
 * both. Not a simulation of anything else; per-CPU maps, queues and the like are for the real thing.
 */
import type { Fd, MapCalls, MapInfo } from './binding.ts';
import type { NativeError } from './errors.ts';

/** Numbers of `enum bpf_map_type`. */
export const fakeMapTypes = { hash: 1, array: 2, lruHash: 9, lpmTrie: 11 } as const;

/** `enum` of the update flags in <linux/bpf.h>. */
const onlyIfMissing = 1;
const onlyIfThere = 2;

interface FakeMap {
  readonly info: MapInfo;
  /** By the key in hexadecimal; in order of insertion, which is what the LRU map evicts by. */
  readonly entries: Map<string, Uint8Array>;
}

export type FakeMapSpec = Pick<MapInfo, 'type' | 'keySize' | 'valueSize' | 'maxEntries'> & {
  readonly name?: string;
};

export class FakeMaps implements MapCalls {
  readonly #maps = new Map<Fd, FakeMap>();

  /** Makes a map and returns the descriptor to use it with. Arrays start with all their entries, zeroed. */
  create(spec: FakeMapSpec): Fd {
    const id = this.#maps.size + 1;
    const fd = (1000 + id) as Fd;
    const map: FakeMap = { info: { id, name: 'fake', flags: 0, ...spec }, entries: new Map() };
    if (spec.type === fakeMapTypes.array) {
      for (let i = 0; i < spec.maxEntries; i++) {
        map.entries.set(hex(new Uint8Array(Uint32Array.of(i).buffer)), new Uint8Array(spec.valueSize));
      }
    }
    this.#maps.set(fd, map);
    return fd;
  }

  mapInfo(fd: Fd): MapInfo {
    return this.#map(fd, 'mapInfo').info;
  }

  mapLookup(fd: Fd, key: Uint8Array): Uint8Array | null {
    const map = this.#map(fd, 'mapLookup', { key });
    const found = map.info.type === fakeMapTypes.lpmTrie ? longestPrefix(map, key) : map.entries.get(hex(key));
    return found?.slice() ?? null;
  }

  mapLookupAndDelete(fd: Fd, key: Uint8Array): Uint8Array | null {
    const map = this.#map(fd, 'mapLookupAndDelete', { key });
    const found = map.entries.get(hex(key)) ?? null;
    map.entries.delete(hex(key));
    return found;
  }

  mapUpdate(fd: Fd, key: Uint8Array, value: Uint8Array, flags: number): void {
    const map = this.#map(fd, 'mapUpdate', { key, value });
    const there = map.entries.has(hex(key));
    if (there && flags === onlyIfMissing) throw updateError('EEXIST', 17);
    if (!there && flags === onlyIfThere) throw updateError('ENOENT', 2);
    if (!there) makeRoom(map);
    map.entries.set(hex(key), value.slice());
  }

  mapDelete(fd: Fd, key: Uint8Array): boolean {
    const map = this.#map(fd, 'mapDelete', { key });
    if (map.info.type === fakeMapTypes.array) throw fakeError('EINVAL', 22, 'bpf(BPF_MAP_DELETE_ELEM)');
    return map.entries.delete(hex(key));
  }

  mapUpdateBatch(fd: Fd, keys: Uint8Array, values: Uint8Array, count: number): void {
    const { info } = this.#map(fd, 'mapUpdateBatch', { key: keys, value: values, count });
    for (let i = 0; i < count; i++) {
      this.mapUpdate(fd, part(keys, i, info.keySize), part(values, i, info.valueSize), 0);
    }
  }

  mapDeleteBatch(fd: Fd, keys: Uint8Array, count: number): number {
    const { info } = this.#map(fd, 'mapDeleteBatch', { key: keys, count });
    let deleted = 0;
    for (let i = 0; i < count; i++) deleted += this.mapDelete(fd, part(keys, i, info.keySize)) ? 1 : 0;
    return deleted;
  }

  mapDump(fd: Fd): ReturnType<MapCalls['mapDump']> {
    const { entries } = this.#map(fd, 'mapDump');
    return {
      keys: new Uint8Array(Buffer.concat([...entries.keys()].map((key) => Buffer.from(key, 'hex')))),
      values: new Uint8Array(Buffer.concat([...entries.values()])),
      count: entries.size,
    };
  }

  /** The map of a descriptor, after the addon's checks of sizes. */
  #map(fd: Fd, call: string, given: Given = {}): FakeMap {
    const map = this.#maps.get(fd);
    if (map === undefined) throw fakeError('ENOENT', 2, 'readlink');
    const count = given.count ?? 1;
    expectSize(call, 'key', given.key, count * map.info.keySize);
    expectSize(call, 'value', given.value, count * map.info.valueSize);
    return map;
  }
}

interface Given {
  readonly key?: Uint8Array;
  readonly value?: Uint8Array;
  readonly count?: number;
}

function expectSize(call: string, name: string, bytes: Uint8Array | undefined, size: number): void {
  if (bytes === undefined || bytes.length === size) return;
  throw fakeError('ERR_ARGUMENT', 0, call, `${name} must be ${size} bytes, not ${bytes.length}`);
}

function makeRoom({ info, entries }: FakeMap): void {
  if (entries.size < info.maxEntries) return;
  if (info.type === fakeMapTypes.lpmTrie) throw updateError('ENOSPC', 28);
  if (info.type !== fakeMapTypes.lruHash) throw updateError('E2BIG', 7);
  const [oldest] = entries.keys();
  if (oldest !== undefined) entries.delete(oldest);
}

/** Keys of a trie: the prefix's length in bits as a native u32, then the bytes. */
function longestPrefix({ entries }: FakeMap, key: Uint8Array): Uint8Array | undefined {
  const matching = [...entries].filter(([prefix]) => covers(Buffer.from(prefix, 'hex'), key));
  const [longest] = matching.toSorted(([a], [b]) => bitsOf(Buffer.from(b, 'hex')) - bitsOf(Buffer.from(a, 'hex')));
  return longest?.[1];
}

const bitsOf = (key: Uint8Array): number => new DataView(key.buffer, key.byteOffset).getUint32(0, true);

function covers(prefix: Uint8Array, key: Uint8Array): boolean {
  const bits = bitsOf(prefix);
  if (bits > bitsOf(key)) return false;
  return Array.from({ length: bits }, (_, i) => i).every((i) => bitAt(prefix, i) === bitAt(key, i));
}

const bitAt = (key: Uint8Array, i: number): number => ((key[4 + (i >> 3)] ?? 0) >> (7 - (i & 7))) & 1;

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const part = (bytes: Uint8Array, index: number, size: number): Uint8Array =>
  bytes.subarray(index * size, (index + 1) * size);

const updateError = (code: string, errno: number): NativeError =>
  fakeError(code, errno, 'bpf(BPF_MAP_UPDATE_ELEM)');

function fakeError(code: string, errno: number, syscall: string, hint: string | null = null): NativeError {
  const error = new Error(`${syscall}: ${hint ?? code}`);
  return Object.assign(error, { name: 'NativeError', code, errno, syscall, hint } as const);
}
