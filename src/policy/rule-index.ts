/**
 * Many rules, of which the first that matches is wanted. Each rule is filed under the values of one clause, the one
 * that the fewest other rules share, so that a connection is compared only with rules that have something in common
 * with it. Rules that only say what must not be so have no such clause and are compared with every connection.
 */
import type { Port } from '../base/ip.ts';
import { prefixKey } from './address-words.ts';
import type { Attributes } from './attributes.ts';
import { type AddressField, addressOf, type Condition, type TextField, textOf } from './conditions.ts';
import { PatternMap } from './pattern-map.ts';
import { PrefixMap } from './prefix-map.ts';
import { type Clause, type CompiledRule, ruleMatches } from './rules.ts';
import { withDefault } from './with-default.ts';

interface Entry {
  readonly position: number;
  readonly rule: CompiledRule;
}

/** By position. */
type Postings = Entry[];

const none = (): Postings => [];
const texts = ['principals', 'namespaces', 'serviceAccounts', 'trustDomains'] as const;
const addresses = ['ipBlocks', 'destinationIps'] as const;

export class RuleIndex {
  readonly rules: readonly CompiledRule[];
  readonly #texts: Readonly<Record<TextField, PatternMap<Postings>>> = {
    principals: new PatternMap(),
    namespaces: new PatternMap(),
    serviceAccounts: new PatternMap(),
    trustDomains: new PatternMap(),
  };
  readonly #addresses: Readonly<Record<AddressField, PrefixMap<Postings>>> = {
    ipBlocks: new PrefixMap(),
    destinationIps: new PrefixMap(),
  };
  readonly #ports = new Map<Port, Postings>();
  readonly #unfiled: Postings = [];

  /** The order of the rules is that in which they are asked. */
  constructor(rules: readonly CompiledRule[]) {
    this.rules = rules;
    const shared = frequencies(rules);
    rules.forEach((rule, position) => {
      const conditions = mostSelective(rule, shared);
      const postings =
        conditions === undefined ? [this.#unfiled] : conditions.flatMap((each) => this.#postingsOf(each));
      const entry = { position, rule };
      // A rule may list a value twice.
      for (const list of postings) if (list.at(-1) !== entry) list.push(entry);
    });
  }

  /** The first rule that matches. `seen` is told of those that were compared and did not. */
  first(attributes: Attributes, seen?: (rule: CompiledRule) => void): CompiledRule | undefined {
    if (this.rules.length === 0) return undefined;
    let first: Entry | undefined;
    this.#visit(attributes, (postings) => {
      for (const entry of postings) {
        if (first !== undefined && entry.position >= first.position) return;
        if (ruleMatches(entry.rule, attributes)) first = entry;
        else seen?.(entry.rule);
      }
    });
    return first?.rule;
  }

  #visit(attributes: Attributes, search: (postings: Postings) => void): void {
    search(this.#unfiled);
    for (const field of texts) {
      const value = textOf(field, attributes);
      if (value !== undefined) this.#texts[field].visit(value, search);
    }
    for (const field of addresses) this.#addresses[field].visit(addressOf(field, attributes), search);
    search(this.#ports.get(attributes.facts.port) ?? []);
  }

  #postingsOf({ values }: Condition): readonly Postings[] {
    switch (values.type) {
      case 'patterns':
        return values.values.map((value) => this.#texts[values.field].at(value, none));
      case 'prefixes':
        return values.values.map((value) => this.#addresses[values.field].at(value, none));
      case 'ports':
        return values.values.map((port) => withDefault(this.#ports, port, none));
    }
  }
}

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

/** How many rules share the most common one of its values: a connection may have to be compared with all of them. */
const costOf = (condition: Condition, shared: Frequencies): number =>
  keysOf(condition).reduce((most, key) => Math.max(most, Number(shared.get(key))), 0);

/** What to file a rule, or a part of it, under. */
interface Filing {
  readonly conditions: readonly Condition[];
  readonly cost: number;
}

const cheaper = (a: Filing | undefined, b: Filing | undefined): Filing | undefined =>
  a === undefined || (b !== undefined && b.cost < a.cost) ? b : a;

/** Conditions one of which a connection meets that the rule matches; undefined if it has none but negative ones. */
function mostSelective({ clauses }: CompiledRule, shared: Frequencies): readonly Condition[] | undefined {
  const filings = clauses.map((clause) => filingOf(clause, shared));
  return filings.reduce(cheaper, undefined)?.conditions;
}

/** Each alternative needs a value to be found by. */
function filingOf({ alternatives }: Clause, shared: Frequencies): Filing | undefined {
  const conditions: Condition[] = [];
  let cost = 0;
  for (const alternative of alternatives) {
    const rarest = alternative
      .filter(({ negated }) => !negated)
      .map((condition) => ({ conditions: [condition], cost: costOf(condition, shared) }))
      .reduce(cheaper, undefined);
    if (rarest === undefined) return undefined;
    conditions.push(...rarest.conditions);
    cost = Math.max(cost, rarest.cost);
  }
  return { conditions, cost };
}
