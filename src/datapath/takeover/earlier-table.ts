/** One map of programs of another version, read and written by what it says of itself. */
import { MeshError } from '../../base/errors.ts';
import type { Fd, NativeBinding } from '../../native/binding.ts';
import { type EarlierLayout, earlierLayout } from '../abi/earlier-layout.ts';
import { bpfCall } from '../bpf-error.ts';
import type { MapSpec } from '../maps.ts';

export type EarlierCalls = Pick<
  NativeBinding,
  'mapInfo' | 'mapStructs' | 'mapLookup' | 'mapLookupAndDelete' | 'mapUpdate' | 'mapDelete' | 'mapDump'
>;

export class EarlierTable<K, V> {
  readonly #native: EarlierCalls;
  readonly #fd: Fd;
  readonly #key: EarlierLayout<K>;
  readonly #value: EarlierLayout<V>;

  private constructor(native: EarlierCalls, fd: Fd, key: EarlierLayout<K>, value: EarlierLayout<V>) {
    this.#native = native;
    this.#fd = fd;
    this.#key = key;
    this.#value = value;
  }

  /** `fd` stays the caller's. Undefined: nobody can tell what is in there. */
  static over<K, V>(
    native: EarlierCalls,
    fd: Fd,
    spec: MapSpec<K, V>,
    needed: { readonly key?: readonly string[]; readonly value?: readonly string[] } = {},
  ): EarlierTable<K, V> | undefined {
    const { keySize, valueSize } = native.mapInfo(fd);
    const structs = native.mapStructs(fd);
    const key = earlierLayout(spec.key, structs, keySize, needed.key);
    const value = earlierLayout(spec.value, structs, valueSize, needed.value);
    return key === undefined || value === undefined ? undefined : new EarlierTable(native, fd, key, value);
  }

  get(key: K): V | undefined {
    const bytes = this.#call(() => this.#native.mapLookup(this.#fd, this.#keyBytes(key)));
    return bytes === null ? undefined : this.#value.decode(bytes);
  }

  /** Takes an entry out, as it was at that moment. */
  take(key: K): V | undefined {
    const bytes = this.#call(() => this.#native.mapLookupAndDelete(this.#fd, this.#keyBytes(key)));
    return bytes === null ? undefined : this.#value.decode(bytes);
  }

  delete(key: K): boolean {
    return this.#call(() => this.#native.mapDelete(this.#fd, this.#keyBytes(key)));
  }

  /** Fields of an entry that is there; what we know nothing of stays. */
  change(key: K, value: V): void {
    const keyBytes = this.#keyBytes(key);
    const bytes = this.#call(() => this.#native.mapLookup(this.#fd, keyBytes));
    if (bytes === null) return;
    this.#value.encode(value, bytes);
    this.#call(() => this.#native.mapUpdate(this.#fd, keyBytes, bytes, 0));
  }

  /** @throws MeshError ABI_MISMATCH if one of them holds what ours has no room for */
  entries(): (readonly [K, V])[] {
    const { keys, values, count } = this.#call(() => this.#native.mapDump(this.#fd));
    const [keySize, valueSize] = [this.#key.sizeBytes, this.#value.sizeBytes];
    return Array.from({ length: count }, (_, i) => {
      const key = this.#key.decode(keys.subarray(i * keySize, (i + 1) * keySize));
      const value = this.#value.decode(values.subarray(i * valueSize, (i + 1) * valueSize));
      if (key === undefined || value === undefined) {
        throw new MeshError('ABI_MISMATCH', 'an entry of an earlier map has a field that is too long here');
      }
      return [key, value] as const;
    });
  }

  #keyBytes(key: K): Uint8Array {
    const bytes = new Uint8Array(this.#key.sizeBytes);
    this.#key.encode(key, bytes);
    return bytes;
  }

  #call<T>(action: () => T): T {
    return bpfCall('BPF_MAP', 'reading or writing a map of the programs before', action);
  }
}
