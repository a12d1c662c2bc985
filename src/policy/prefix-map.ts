/** Values filed under address prefixes and found by the addresses these contain, at a look-up per length in use. */
import { type AddressWords, prefixKey, type PrefixWords } from './address-words.ts';
import { withDefault } from './with-default.ts';

export class PrefixMap<T> {
  readonly #byBits = new Map<number, Map<string, T>>();

  /** The value under a prefix; made if there is none. */
  at(prefix: PrefixWords, make: () => T): T {
    const values = withDefault(this.#byBits, prefix.bits, () => new Map<string, T>());
    return withDefault(values, prefixKey(prefix, prefix.bits), make);
  }

  get(prefix: PrefixWords): T | undefined {
    return this.#byBits.get(prefix.bits)?.get(prefixKey(prefix, prefix.bits));
  }

  delete(prefix: PrefixWords): void {
    const values = this.#byBits.get(prefix.bits);
    values?.delete(prefixKey(prefix, prefix.bits));
    if (values?.size === 0) this.#byBits.delete(prefix.bits);
  }

  /** Visits what is filed under any prefix that contains the address. */
  visit(address: AddressWords, visitor: (found: T) => void): void {
    for (const [bits, values] of this.#byBits) {
      const found = values.get(prefixKey(address, bits));
      if (found !== undefined) visitor(found);
    }
  }
}
