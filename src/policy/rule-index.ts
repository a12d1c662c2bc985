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

/** For the reason of a refusal. */
const notedMisses = 8;

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
      const entry = { position, rule };
      if (conditions === undefined) this.#unfiled.push(entry);
      else conditions.forEach((condition) => this.#file(entry, condition));
    });
  }

  /** The first rule that matches. `missed` is filled with those that were compared and did not, up to a few. */
  first(attributes: Attributes, missed?: CompiledRule[]): CompiledRule | undefined {
    if (this.rules.length === 0) return undefined;
    let first: Entry | undefined;
    this.#visit(attributes, (postings) => {
      for (const entry of postings) {
        if (first !== undefined && entry.position >= first.position) return;
        if (ruleMatches(entry.rule, attributes)) first = entry;
        else if (missed !== undefined && missed.length < notedMisses) missed.push(entry.rule);
      }
    });
    return first?.rule;
  }

  /** Rules that match, up to `limit`, in no order. */
  matching(attributes: Attributes, limit: number): readonly CompiledRule[] {
    const found = new Set<CompiledRule>();
    this.#visit(attributes, (postings) => {
      for (const { rule } of postings) {
        if (found.size >= limit) return;
        if (ruleMatches(rule, attributes)) found.add(rule);
      }
    });
    return [...found];
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

  #file(entry: Entry, condition: Condition): void {
    // Most lists have one entry, and one that begins with it takes the least memory.
    const begin = (): Postings => [entry];
    for (const postings of this.#postingsOf(condition, begin)) {
      // A rule may list a value twice.
      if (postings.at(-1) !== entry) postings.push(entry);
    }
  }

  #postingsOf(condition: Condition, begin: () => Postings): readonly Postings[] {
    switch (condition.type) {
      case 'text':
        return condition.values.map((value) => this.#texts[condition.field].at(value, begin));
      case 'address':
        return condition.values.map((value) => this.#addresses[condition.field].at(value, begin));
      case 'port':
        return condition.values.map((port) => withDefault(this.#ports, port, begin));
    }
  }
}

/** How many conditions list a value, and the values of each condition, while an index is made. */
interface Frequencies {
  readonly counts: ReadonlyMap<string, number>;
  readonly keys: ReadonlyMap<Condition, readonly string[]>;
}

function frequencies(rules: readonly CompiledRule[]): Frequencies {
  const counts = new Map<string, number>();
  const keys = new Map<Condition, readonly string[]>();
  for (const { clauses } of rules) {
    for (const { alternatives } of clauses) {
      for (const condition of alternatives.flat()) {
        if (condition.negated) continue;
        const own = keysOf(condition);
        keys.set(condition, own);
        for (const key of own) counts.set(key, (counts.get(key) ?? 0) + 1);
      }
    }
  }
  return { counts, keys };
}

function keysOf(condition: Condition): readonly string[] {
  const { field } = condition;
  switch (condition.type) {
    case 'text':
      return condition.values.map((value) => `${field} ${value}`);
    case 'address':
      return condition.values.map((value) => `${field} ${value.bits} ${prefixKey(value, value.bits)}`);
    case 'port':
      return condition.values.map((value) => `${field} ${value}`);
  }
}

/** How many rules share the most common one of its values; undefined of a negative condition, which has no values to be found by. */
const costOf = (condition: Condition, { counts, keys }: Frequencies): number | undefined =>
  keys.get(condition)?.reduce((most, key) => Math.max(most, Number(counts.get(key))), 0);

/** What to file a rule, or a part of it, under. */
interface Filing {
  readonly conditions: readonly Condition[];
  /** So many rules a connection may have to be compared with. */
  readonly cost: number;
}

/** Conditions one of which a connection meets that the rule matches; undefined if it has none but negative ones. */
function mostSelective({ clauses }: CompiledRule, shared: Frequencies): readonly Condition[] | undefined {
  let best: Filing | undefined;
  for (const clause of clauses) {
    const filing = filingOf(clause, shared);
    if (filing !== undefined && (best === undefined || filing.cost < best.cost)) best = filing;
  }
  return best?.conditions;
}

/** Each alternative needs a value to be found by. */
function filingOf({ alternatives }: Clause, shared: Frequencies): Filing | undefined {
  const conditions: Condition[] = [];
  let most = 0;
  for (const alternative of alternatives) {
    const rarest = rarestOf(alternative, shared);
    if (rarest === undefined) return undefined;
    conditions.push(...rarest.conditions);
    most = Math.max(most, rarest.cost);
  }
  return { conditions, cost: most };
}

function rarestOf(alternative: readonly Condition[], shared: Frequencies): Filing | undefined {
  let best: Filing | undefined;
  for (const condition of alternative) {
    const cost = costOf(condition, shared);
    if (cost !== undefined && (best === undefined || cost < best.cost))
      best = { conditions: [condition], cost };
  }
  return best;
}
