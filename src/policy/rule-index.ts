/**
 * Many rules, of which the first that matches is wanted. Each rule is filed under the values of one clause, the one
 * that the fewest other rules share, so that a connection is compared only with rules that have something in common
 * with it. Rules that only say what must not be so have no such clause and are compared with every connection.
 */
import type { Port } from '../base/ip.ts';
import type { Attributes } from './attributes.ts';
import { addressOf, type Condition, type PositiveField, textOf } from './conditions.ts';
import { prefixKey } from './address-words.ts';
import { PatternMap } from './pattern-map.ts';
import { PrefixMap } from './prefix-map.ts';
import { type Clause, type CompiledRule, ruleMatches } from './rules.ts';
import { withDefault } from './with-default.ts';

/** Positions of rules, ascending. */
type Postings = number[];

const textFields = ['principals', 'namespaces', 'serviceAccounts', 'trustDomains'] as const;
const addressFields = ['ipBlocks', 'destinationIps'] as const;

export class RuleIndex {
  readonly rules: readonly CompiledRule[];
  readonly #texts = mapOf(textFields, () => new PatternMap<Postings>());
  readonly #addresses = mapOf(addressFields, () => new PrefixMap<Postings>());
  readonly #ports = new Map<Port, Postings>();
  readonly #unfiled: Postings = [];

  /** The order of the rules is that in which they are asked. */
  constructor(rules: readonly CompiledRule[]) {
    this.rules = rules;
    const shared = frequencies(rules);
    rules.forEach((rule, position) => {
      const clause = mostSelective(rule, shared);
      const postings = clause === undefined ? [this.#unfiled] : this.#postingsOf(clause, shared);
      // A rule may list a value twice.
      for (const list of postings) if (list.at(-1) !== position) list.push(position);
    });
  }

  /** The first rule that matches. `seen` is told of those that were compared and did not. */
  first(attributes: Attributes, seen?: (rule: CompiledRule) => void): CompiledRule | undefined {
    if (this.rules.length === 0) return undefined;
    let first = this.rules.length;
    const search = (postings: Postings): void => {
      for (const position of postings) {
        if (position >= first) return;
        const rule = this.rules[position];
        if (rule === undefined) return;
        if (ruleMatches(rule, attributes)) first = position;
        else seen?.(rule);
      }
    };
    this.#visit(attributes, search);
    return this.rules[first];
  }

  #visit(attributes: Attributes, search: (postings: Postings) => void): void {
    search(this.#unfiled);
    for (const [field, patterns] of this.#texts) {
      const value = textOf(field, attributes);
      if (value !== undefined) patterns.visit(value, search);
    }
    for (const [field, prefixes] of this.#addresses) prefixes.visit(addressOf(field, attributes), search);
    const ofPort = this.#ports.get(attributes.facts.port);
    if (ofPort !== undefined) search(ofPort);
  }

  #postingsOf(clause: Clause, shared: Frequencies): readonly Postings[] {
    return clause.alternatives.flatMap((conditions) => {
      const condition = rarest(conditions, shared)?.condition;
      return condition === undefined ? [] : this.#postingsUnder(condition);
    });
  }

  #postingsUnder({ field, values }: Condition): readonly Postings[] {
    const make = (): Postings => [];
    switch (values.type) {
      case 'patterns': {
        const patterns = this.#texts.get(field);
        return patterns === undefined ? [] : values.values.map((value) => patterns.at(value, make));
      }
      case 'prefixes': {
        const prefixes = this.#addresses.get(field);
        return prefixes === undefined ? [] : values.values.map((value) => prefixes.at(value, make));
      }
      case 'ports':
        return values.values.map((port) => withDefault(this.#ports, port, make));
    }
  }
}

const mapOf = <K extends PositiveField, V>(
  fields: readonly K[],
  make: () => V,
): Map<PositiveField, V> & ReadonlyMap<K, V> => new Map(fields.map((field) => [field, make()]));

/** How many conditions list a value. */
type Frequencies = ReadonlyMap<string, number>;

function frequencies(rules: readonly CompiledRule[]): Frequencies {
  const counts = new Map<string, number>();
  for (const { clauses } of rules) {
    for (const condition of clauses.flatMap(({ alternatives }) => alternatives.flat())) {
      if (condition.negated) continue;
      for (const key of keysOf(condition)) counts.set(key, (counts.get(key) ?? 0) + 1);
    }
  }
  return counts;
}

function keysOf({ field, values }: Condition): readonly string[] {
  switch (values.type) {
    case 'patterns':
      return values.values.map((value) => `${field} ${value}`);
    case 'prefixes':
      return values.values.map((value) => `${field} ${value.bits} ${prefixKey(value, value.bits)}`);
    case 'ports':
      return values.values.map((value) => `${field} ${value}`);
  }
}

interface Rated {
  readonly condition: Condition;
  /** How many rules a connection has to be compared with, at most, that has one of its values. */
  readonly cost: number;
}

/** The condition to file an alternative under; undefined if it has only negative ones. */
function rarest(conditions: readonly Condition[], shared: Frequencies): Rated | undefined {
  let best: Rated | undefined;
  for (const condition of conditions) {
    if (condition.negated) continue;
    const cost = keysOf(condition).reduce((most, key) => Math.max(most, shared.get(key) ?? 0), 0);
    if (best === undefined || cost < best.cost) best = { condition, cost };
  }
  return best;
}

/** The clause to file a rule under: each alternative needs a value to be found by. */
function mostSelective({ clauses }: CompiledRule, shared: Frequencies): Clause | undefined {
  let best: { readonly clause: Clause; readonly cost: number } | undefined;
  for (const clause of clauses) {
    const rated = clause.alternatives.map((conditions) => rarest(conditions, shared));
    if (rated.includes(undefined)) continue;
    const cost = rated.reduce((most, each) => Math.max(most, each?.cost ?? 0), 0);
    if (best === undefined || cost < best.cost) best = { clause, cost };
  }
  return best?.clause;
}
