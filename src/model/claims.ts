/**
 * An index from address to the objects that claim it, kept up to date change by change. Several may claim one; the
 * index keeps all of them, because when one goes the address falls to another.
 */
import type { IpAddress } from '../base/ip.ts';
import type { Change } from './view.ts';

export class AddressClaims<T> {
  readonly #addressesOf: (object: T) => readonly IpAddress[];
  readonly #claims = new Map<IpAddress, readonly T[]>();

  /** `addressesOf` must return the same for the same object. */
  constructor(addressesOf: (object: T) => readonly IpAddress[]) {
    this.#addressesOf = addressesOf;
  }

  /** Takes the changes over and returns the addresses they touch, each with everyone who now claims it. */
  update(changes: readonly Change<unknown, T>[]): ReadonlyMap<IpAddress, readonly T[]> {
    const touched = new Map<IpAddress, readonly T[]>();
    for (const { before, after } of changes) {
      const old = before === undefined ? [] : this.#addressesOf(before);
      const current = after === undefined ? [] : this.#addressesOf(after);
      for (const address of new Set([...old, ...current])) {
        const others = (this.#claims.get(address) ?? []).filter((claimant) => claimant !== before);
        const claimants = after !== undefined && current.includes(address) ? [...others, after] : others;
        if (claimants.length === 0) this.#claims.delete(address);
        else this.#claims.set(address, claimants);
        touched.set(address, claimants);
      }
    }
    return touched;
  }
}
