/** A BPF hash map of limited size, in memory, that calls `written` after every entry. */
import { MeshError } from '../../../../src/base/errors.ts';

export class FakeMap<K, V> {
  readonly content = new Map<string, [K, V]>();
  capacity = Infinity;
  reads = 0;
  failure: MeshError | undefined;
  written: () => void = () => {};

  entries(): [K, V][] {
    this.reads++;
    return [...this.content.values()];
  }

  get(key: K): V | undefined {
    return this.content.get(JSON.stringify(key))?.[1];
  }

  set(key: K, value: V): void {
    if (this.failure !== undefined) throw this.failure;
    const text = JSON.stringify(key);
    if (!this.content.has(text) && this.content.size >= this.capacity)
      throw new MeshError('BPF_MAP_FULL', 'full');
    this.content.set(text, [key, value]);
    this.written();
  }

  add(key: K, value: V): boolean {
    if (this.content.has(JSON.stringify(key))) return false;
    this.set(key, value);
    return true;
  }

  setAll(entries: readonly (readonly [K, V])[]): void {
    for (const [key, value] of entries) this.set(key, value);
  }

  delete(key: K): boolean {
    const had = this.content.delete(JSON.stringify(key));
    this.written();
    return had;
  }

  deleteAll(keys: readonly K[]): void {
    for (const key of keys) this.delete(key);
  }
}
