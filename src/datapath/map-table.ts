/** One open BPF map as a table of typed entries. Failures name the map; a full map has its own code. */
import type { Fd, MapCalls } from '../native/binding.ts';
import { isNativeError } from '../native/errors.ts';
import { decode, encode, encodeAll, viewOf } from './abi/field.ts';
import { bpfCall } from './bpf-error.ts';
import type { MapSpec } from './maps.ts';

const anyFlag = 0;
const noExist = 1; // BPF_NOEXIST
const exist = 2; // BPF_EXIST

export class MapTable<K, V> {
  readonly spec: MapSpec<K, V>;
  readonly #native: MapCalls;
  readonly #fd: Fd;
  /** The key of a single call, which is over before the next begins. */
  readonly #key: Uint8Array;
  readonly #keyView: DataView;

  /** `fd` stays the caller's. */
  constructor(native: MapCalls, fd: Fd, spec: MapSpec<K, V>) {
    this.#native = native;
    this.#fd = fd;
    this.spec = spec;
    this.#key = new Uint8Array(spec.key.sizeBytes);
    this.#keyView = viewOf(this.#key);
  }

  get(key: K): V | undefined {
    const bytes = this.#call('reading', () => this.#native.mapLookup(this.#fd, this.#encoded(key)));
    return bytes === null ? undefined : decode(this.spec.value, bytes);
  }

  /** Takes an entry out: of several callers one gets it. */
  take(key: K): V | undefined {
    const bytes = this.#call('reading', () => this.#native.mapLookupAndDelete(this.#fd, this.#encoded(key)));
    return bytes === null ? undefined : decode(this.spec.value, bytes);
  }

  #encoded(key: K): Uint8Array {
    this.spec.key.write(this.#keyView, 0, key);
    return this.#key;
  }

  /** @throws MeshError BPF_MAP_FULL */
  set(key: K, value: V): void {
    this.#call('writing', () =>
      this.#native.mapUpdate(this.#fd, encode(this.spec.key, key), encode(this.spec.value, value), anyFlag),
    );
  }

  /** False if there is one under this key, which stays. @throws MeshError BPF_MAP_FULL */
  add(key: K, value: V): boolean {
    return this.#put(key, value, noExist, 'EEXIST');
  }

  /** False if there is none under this key (any more). */
  replace(key: K, value: V): boolean {
    return this.#put(key, value, exist, 'ENOENT');
  }

  #put(key: K, value: V, flag: number, refusal: string): boolean {
    const bytes = [encode(this.spec.key, key), encode(this.spec.value, value)] as const;
    return this.#call('writing', () => {
      try {
        this.#native.mapUpdate(this.#fd, ...bytes, flag);
        return true;
      } catch (thrown) {
        if (isNativeError(thrown) && thrown.code === refusal) return false;
        throw thrown;
      }
    });
  }

  /** Batched. @throws MeshError BPF_MAP_FULL after writing what fitted. */
  setAll(entries: readonly (readonly [K, V])[]): void {
    if (entries.length === 0) return;
    const keys = encodeAll(
      this.spec.key,
      entries.map(([key]) => key),
    );
    const values = encodeAll(
      this.spec.value,
      entries.map(([, value]) => value),
    );
    this.#call('writing', () => this.#native.mapUpdateBatch(this.#fd, keys, values, entries.length));
  }

  /** True when the key was there. */
  delete(key: K): boolean {
    return this.#call('writing', () => this.#native.mapDelete(this.#fd, this.#encoded(key)));
  }

  /** Batched. Keys that are not there are passed over. */
  deleteAll(keys: readonly K[]): void {
    if (keys.length === 0) return;
    const bytes = encodeAll(this.spec.key, keys);
    this.#call('writing', () => this.#native.mapDeleteBatch(this.#fd, bytes, keys.length));
  }

  /** Every entry. Of a per-CPU map: one entry for each CPU, under the same key. */
  entries(): [K, V][] {
    const dump = this.#call('reading', () => this.#native.mapDump(this.#fd));
    const keys = viewOf(dump.keys);
    const values = viewOf(dump.values);
    const { key, value } = this.spec;
    const copies = dump.count === 0 ? 0 : values.byteLength / dump.count / value.sizeBytes;
    return Array.from({ length: dump.count * copies }, (_, i) => [
      key.read(keys, Math.floor(i / copies) * key.sizeBytes),
      value.read(values, i * value.sizeBytes),
    ]);
  }

  /** How many entries there are. The kernel walks them all: half a millisecond for a thousand. */
  count(): number {
    return this.#call('reading', () => this.#native.mapDump(this.#fd)).count;
  }

  #call<T>(doing: 'reading' | 'writing', action: () => T): T {
    return bpfCall('BPF_MAP', `${doing} map ${this.spec.name}`, action);
  }
}
