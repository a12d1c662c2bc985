/**
 * An immutable map whose next version costs what changed, not what it holds: a large base that versions share, and
 * a small patch over it that each version copies. When the patch has grown it is merged into a new base.
 */

/** A patch of this many entries, copied with each version, is still cheaper than one pass over a large base. */
const patchLimit = 512;

export class VersionedMap<K, V extends object> implements ReadonlyMap<K, V> {
  readonly size: number;
  /** Never written after construction: other versions read it too. */
  readonly #base: ReadonlyMap<K, V>;
  /** Entries that differ from the base; undefined: removed. */
  readonly #patch: ReadonlyMap<K, V | undefined>;

  private constructor(base: ReadonlyMap<K, V>, patch: ReadonlyMap<K, V | undefined>, size: number) {
    this.#base = base;
    this.#patch = patch;
    this.size = size;
  }

  static empty<K, V extends object>(): VersionedMap<K, V> {
    return new VersionedMap<K, V>(new Map(), new Map(), 0);
  }

  /** The next version: each key with its new value, undefined to remove it. This version itself if there are none. */
  with(changes: ReadonlyMap<K, V | undefined>): VersionedMap<K, V> {
    if (changes.size === 0) return this;
    let size = this.size;
    for (const [key, value] of changes) size += Number(value !== undefined) - Number(this.has(key));
    const patch = new Map([...this.#patch, ...changes]);
    if (patch.size <= patchLimit) return new VersionedMap(this.#base, patch, size);
    const base = new Map(this.#base);
    for (const [key, value] of patch) {
      if (value === undefined) base.delete(key);
      else base.set(key, value);
    }
    return new VersionedMap(base, new Map(), size);
  }

  /** What differs in a later map, undefined for what is gone; quick where both are versions of one. */
  static differences<K, V extends object>(
    before: ReadonlyMap<K, V>,
    after: ReadonlyMap<K, V>,
  ): ReadonlyMap<K, V | undefined> {
    const isPatched =
      before instanceof VersionedMap && after instanceof VersionedMap && before.#base === after.#base;
    const keys: Iterable<K> = isPatched
      ? [...(before.#patch.keys() as Iterable<K>), ...(after.#patch.keys() as Iterable<K>)]
      : [...before.keys(), ...after.keys()];
    const found = new Map<K, V | undefined>();
    for (const key of keys) {
      const value = after.get(key);
      if (value !== before.get(key)) found.set(key, value);
    }
    return found;
  }

  get(key: K): V | undefined {
    const isPatched = this.#patch.size > 0 && this.#patch.has(key);
    return isPatched ? this.#patch.get(key) : this.#base.get(key);
  }

  has(key: K): boolean {
    return this.get(key) !== undefined;
  }

  *entries(): Generator<[K, V], undefined> {
    for (const [key, inBase] of this.#base) {
      const value = this.#patch.has(key) ? this.#patch.get(key) : inBase;
      if (value !== undefined) yield [key, value];
    }
    for (const [key, value] of this.#patch) {
      if (value !== undefined && !this.#base.has(key)) yield [key, value];
    }
  }

  *keys(): Generator<K, undefined> {
    for (const [key] of this.entries()) yield key;
  }

  *values(): Generator<V, undefined> {
    for (const [, value] of this.entries()) yield value;
  }

  [Symbol.iterator](): Generator<[K, V], undefined> {
    return this.entries();
  }

  forEach(callback: (value: V, key: K, map: ReadonlyMap<K, V>) => void): void {
    for (const [key, value] of this.entries()) callback(value, key, this);
  }
}
