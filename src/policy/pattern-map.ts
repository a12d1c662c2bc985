/**
 * Values filed under Istio's string patterns and found by the strings that match them: `abc` itself, `abc*` a prefix,
 * `*abc` a suffix, `*` anything at all; other asterisks are literal. Costs a look-up per length in use, however many
 * patterns there are.
 */
import { withDefault } from './with-default.ts';

export type PatternKind = 'exact' | 'prefix' | 'suffix';

export const patternKind = (pattern: string): PatternKind => {
  if (pattern.startsWith('*')) return 'suffix';
  return pattern.endsWith('*') ? 'prefix' : 'exact';
};

export function matchesPattern(pattern: string, value: string): boolean {
  switch (patternKind(pattern)) {
    case 'exact':
      return value === pattern;
    case 'prefix':
      return value.startsWith(pattern.slice(0, -1));
    case 'suffix':
      return value.endsWith(pattern.slice(1));
  }
}

type ByLength<T> = Map<number, Map<string, T>>;

export class PatternMap<T> {
  readonly #exact = new Map<string, T>();
  readonly #prefixes: ByLength<T> = new Map();
  readonly #suffixes: ByLength<T> = new Map();

  /** The value under a pattern; made if there is none. */
  at(pattern: string, make: () => T): T {
    switch (patternKind(pattern)) {
      case 'exact':
        return withDefault(this.#exact, pattern, make);
      case 'prefix':
        return affixed(this.#prefixes, pattern.slice(0, -1), make);
      case 'suffix':
        return affixed(this.#suffixes, pattern.slice(1), make);
    }
  }

  get(pattern: string): T | undefined {
    const [values, key] = this.#placeOf(pattern);
    return values?.get(key);
  }

  delete(pattern: string): void {
    const [values, key, byLength] = this.#placeOf(pattern);
    values?.delete(key);
    if (values?.size === 0) byLength?.delete(key.length);
  }

  #placeOf(pattern: string): readonly [Map<string, T> | undefined, string, ByLength<T>?] {
    switch (patternKind(pattern)) {
      case 'exact':
        return [this.#exact, pattern];
      case 'prefix': {
        const prefix = pattern.slice(0, -1);
        return [this.#prefixes.get(prefix.length), prefix, this.#prefixes];
      }
      case 'suffix': {
        const suffix = pattern.slice(1);
        return [this.#suffixes.get(suffix.length), suffix, this.#suffixes];
      }
    }
  }

  /** Visits what is filed under any pattern that matches. Of a value that is too short a slice is too, and not found. */
  visit(value: string, visitor: (found: T) => void): void {
    const exact = this.#exact.get(value);
    if (exact !== undefined) visitor(exact);
    for (const [length, values] of this.#prefixes) {
      const found = values.get(value.slice(0, length));
      if (found !== undefined) visitor(found);
    }
    for (const [length, values] of this.#suffixes) {
      const found = values.get(value.slice(value.length - length));
      if (found !== undefined) visitor(found);
    }
  }
}

const affixed = <T>(byLength: ByLength<T>, affix: string, make: () => T): T =>
  withDefault(
    withDefault(byLength, affix.length, () => new Map()),
    affix,
    make,
  );
