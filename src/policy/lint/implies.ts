/**
 * What follows from conditions: whether some imply another, whether they exclude each other, and so whether a rule
 * matches everything that another one does. What is said holds; not everything that holds is said.
 */
import { type Condition, TextCondition, type TextField } from '../conditions.ts';
import { patternKind } from '../pattern-map.ts';
import type { Clause, CompiledRule } from '../rules.ts';
import { isApart, isWithin, pairOf } from './values.ts';

/** Alternatives compared with alternatives, at most: a rule may have 512 of each. */
const maxAlternatives = 4096;

/** Whether every connection that meets all of `given` meets `wanted`. */
export function implies(given: readonly Condition[], wanted: Condition): boolean {
  return withDerived(given).some((condition) => impliesOne(condition, wanted));
}

function impliesOne(given: Condition, wanted: Condition): boolean {
  const pair = pairOf(given, wanted);
  if (pair === undefined) return false;
  if (!wanted.negated) return !given.negated && isWithin(pair);
  if (!given.negated) return isApart(pair);
  const swapped = pairOf(wanted, given);
  return swapped !== undefined && isWithin(swapped);
}

/** The two of the conditions that no connection can meet at once. */
export function exclusion(conditions: readonly Condition[]): readonly [Condition, Condition] | undefined {
  const positive = conditions.filter(({ negated }) => !negated);
  for (const one of positive) {
    const derived = withDerived([one]);
    for (const other of conditions) {
      if (other !== one && derived.some((each) => excludes(each, other))) return [one, other];
    }
  }
  return undefined;
}

function excludes(positive: Condition, other: Condition): boolean {
  const pair = pairOf(positive, other);
  return pair !== undefined && (other.negated ? isWithin(pair) : isApart(pair));
}

const accountParts = /^([^/]+)\/ns\/([^/]+)\/sa\/([^/]+)$/;

/** An exact principal says namespace, service account and trust domain too; a service account its namespace. */
function withDerived(conditions: readonly Condition[]): readonly Condition[] {
  return conditions.flatMap((condition): readonly Condition[] => {
    if (condition.type !== 'text' || condition.negated) return [condition];
    return [condition, ...derivedFrom(condition)];
  });
}

const known = new WeakMap<TextCondition, readonly TextCondition[]>();

function derivedFrom(condition: TextCondition): readonly TextCondition[] {
  const before = known.get(condition);
  if (before !== undefined) return before;
  const made = derive(condition);
  known.set(condition, made);
  return made;
}

const say = (about: TextField, said: readonly string[]): TextCondition =>
  new TextCondition(about, false, [...new Set(said)]);

function derive({ field, values }: TextCondition): readonly TextCondition[] {
  if (field === 'serviceAccounts') {
    return [
      say(
        'namespaces',
        values.map((account) => account.split('/')[0] ?? ''),
      ),
    ];
  }
  if (field !== 'principals' || values.some((value) => patternKind(value) !== 'exact')) return [];
  const parts = values.map((value) => accountParts.exec(value));
  if (parts.some((part) => part === null)) return [];
  return [
    say(
      'trustDomains',
      parts.map((part) => part?.[1] ?? ''),
    ),
    say(
      'namespaces',
      parts.map((part) => part?.[2] ?? ''),
    ),
    say(
      'serviceAccounts',
      parts.map((part) => `${part?.[2]}/${part?.[3]}`),
    ),
  ];
}

/** Whether `outer` matches every connection that `inner` matches. */
export const ruleCovers = (outer: CompiledRule, inner: CompiledRule): boolean =>
  outer.clauses.every((wanted) => inner.clauses.some((given) => clauseImplies(given, wanted)));

function clauseImplies(given: Clause, wanted: Clause): boolean {
  if (given.alternatives.length * wanted.alternatives.length > maxAlternatives) return false;
  return given.alternatives.every((conditions) =>
    wanted.alternatives.some((all) => all.every((each) => implies(conditions, each))),
  );
}
