/** Sets of strings and of addresses as policies write them: whether one contains another, whether two have anything in common. */
import type { AddressCondition, Condition, PortCondition, TextCondition } from '../conditions.ts';
import { containsAddress, type PrefixWords } from '../address-words.ts';
import { matchesPattern, PatternMap, patternKind } from '../pattern-map.ts';

/** Beyond so many comparisons nothing is said: lists of thousands against thousands of patterns. */
const maxComparisons = 20_000;

const stem = (pattern: string): string =>
  patternKind(pattern) === 'prefix' ? pattern.slice(0, -1) : pattern.slice(1);

/** Whether everything that `inner` matches, `outer` matches. */
export function patternCovers(outer: string, inner: string): boolean {
  const kind = patternKind(inner);
  if (outer === '*' || outer === inner) return true;
  if (kind === 'exact') return matchesPattern(outer, inner);
  if (kind !== patternKind(outer)) return false;
  return kind === 'prefix' ? stem(inner).startsWith(stem(outer)) : stem(inner).endsWith(stem(outer));
}

export function patternsOverlap(a: string, b: string): boolean {
  const [kindA, kindB] = [patternKind(a), patternKind(b)];
  if (kindA === 'exact') return matchesPattern(b, a);
  if (kindB === 'exact') return matchesPattern(a, b);
  // `abc*` and `*xyz` meet in `abcxyz`.
  return kindA !== kindB || patternCovers(a, b) || patternCovers(b, a);
}

export const prefixCovers = (outer: PrefixWords, inner: PrefixWords): boolean =>
  outer.bits <= inner.bits && containsAddress(outer, inner);

/** Two conditions about the same field, whatever they say of its values. */
type Pair =
  | { readonly type: 'text'; readonly a: TextCondition; readonly b: TextCondition }
  | { readonly type: 'address'; readonly a: AddressCondition; readonly b: AddressCondition }
  | { readonly type: 'port'; readonly a: PortCondition; readonly b: PortCondition };

export function pairOf(a: Condition, b: Condition): Pair | undefined {
  if (a.field !== b.field) return undefined;
  if (a.type === 'text' && b.type === 'text') return { type: 'text', a, b };
  if (a.type === 'address' && b.type === 'address') return { type: 'address', a, b };
  return a.type === 'port' && b.type === 'port' ? { type: 'port', a, b } : undefined;
}

/** Whether the values of `a` are all among those of `b`. */
export function isWithin(pair: Pair): boolean {
  switch (pair.type) {
    case 'text':
      return pair.a.values.every((value) => textCovers(pair.b, value));
    case 'address': {
      const { a, b } = pair;
      return (
        a.values.length * b.values.length <= maxComparisons &&
        a.values.every((inner) => b.values.some((outer) => prefixCovers(outer, inner)))
      );
    }
    case 'port': {
      const listed = new Set(pair.b.values);
      return pair.a.values.every((port) => listed.has(port));
    }
  }
}

/** Whether no value is among those of both. */
export function isApart(pair: Pair): boolean {
  switch (pair.type) {
    case 'text': {
      const { a, b } = pair;
      const overlap =
        a.field === 'serviceAccounts' ? (x: string, y: string): boolean => x === y : patternsOverlap;
      return noneMeet(a.values, b.values, overlap);
    }
    case 'address':
      return noneMeet(pair.a.values, pair.b.values, (a, b) => prefixCovers(a, b) || prefixCovers(b, a));
    case 'port': {
      const listed = new Set(pair.b.values);
      return !pair.a.values.some((port) => listed.has(port));
    }
  }
}

const noneMeet = <T>(a: readonly T[], b: readonly T[], meet: (x: T, y: T) => boolean): boolean =>
  a.length * b.length <= maxComparisons && !a.some((x) => b.some((y) => meet(x, y)));

const indexes = new WeakMap<TextCondition, PatternMap<true>>();

/** Of long lists each has an index of its own. */
function textCovers(condition: TextCondition, value: string): boolean {
  const { field, values } = condition;
  if (field === 'serviceAccounts' || patternKind(value) !== 'exact') {
    return values.some((outer) =>
      field === 'serviceAccounts' ? outer === value : patternCovers(outer, value),
    );
  }
  let index = indexes.get(condition);
  if (index === undefined) {
    index = new PatternMap();
    for (const each of values) index.at(each, () => true as const);
    indexes.set(condition, index);
  }
  let found = false;
  index.visit(value, () => (found = true));
  return found;
}
