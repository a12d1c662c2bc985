/**
 * Many rules, of which the first that matches is wanted. Each rule is filed under the values of one clause, the one
 * that the fewest other rules share, so that a connection is compared only with rules that have something in common
 * with it. Rules that only say what must not be so have no such clause and are compared with every connection. A rule
 * that comes or goes costs what it says, not how many there are.
 */
import type { Port } from '../base/ip.ts';
import { prefixKey } from './address-words.ts';
import type { Attributes } from './attributes.ts';
import { type AddressField, addressOf, type Condition, type TextField, textOf } from './conditions.ts';
import { PatternMap } from './pattern-map.ts';
import { PrefixMap } from './prefix-map.ts';
import { type Clause, type CompiledRule, ruleMatches } from './rules.ts';
import { withDefault } from './with-default.ts';

/** In order. */
type Postings = CompiledRule[];

/** For the reason of a refusal. */
const notedMisses = 8;

const texts = ['principals', 'namespaces', 'serviceAccounts', 'trustDomains'] as const;
const addresses = ['ipBlocks', 'destinationIps'] as const;

export class RuleIndex {
  readonly #rules: CompiledRule[];
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

  /** They are asked by the keys of their policies, and by number within a policy. */
  constructor(rules: readonly CompiledRule[]) {
    this.#rules = rules.toSorted(inOrder);
    const shared = frequencies(rules);
    for (const rule of this.#rules) this.#fileRule(rule, (condition) => costOf(condition, shared));
  }

  /** In order. */
  get rules(): readonly CompiledRule[] {
    return this.#rules;
  }

  /** It is filed under what the fewest rules are filed under by now. */
  add(rule: CompiledRule): void {
    insert(this.#rules, rule);
    this.#fileRule(rule, (condition) => this.#load(condition));
  }

  delete(rule: CompiledRule): void {
    remove(this.#rules, rule);
    remove(this.#unfiled, rule);
    for (const condition of conditionsOf(rule)) this.#unfile(rule, condition);
  }

  /** The first rule that matches. `missed` is filled with those that were compared and did not, up to a few. */
  first(attributes: Attributes, missed?: CompiledRule[]): CompiledRule | undefined {
    if (this.#rules.length === 0) return undefined;
    let first: CompiledRule | undefined;
    this.visit(attributes, (rules) => {
      for (const rule of rules) {
        if (first !== undefined && inOrder(rule, first) >= 0) return;
        if (ruleMatches(rule, attributes)) first = rule;
        else if (missed !== undefined && missed.length < notedMisses) missed.push(rule);
      }
    });
    return first;
  }

  /** Hands over lists of rules, in order each; all that match are among them. */
  visit(attributes: Attributes, search: (rules: readonly CompiledRule[]) => void): void {
    search(this.#unfiled);
    for (const field of texts) {
      const value = textOf(field, attributes);
      if (value !== undefined) this.#texts[field].visit(value, search);
    }
    for (const field of addresses) this.#addresses[field].visit(addressOf(field, attributes), search);
    search(this.#ports.get(attributes.facts.port) ?? []);
  }

  #fileRule(rule: CompiledRule, cost: Cost): void {
    const conditions = mostSelective(rule, cost);
    if (conditions === undefined) insert(this.#unfiled, rule);
    else conditions.forEach((condition) => this.#file(rule, condition));
  }

  #file(rule: CompiledRule, condition: Condition): void {
    // Most lists have one entry, and one that begins with it takes the least memory.
    const begin = (): Postings => [rule];
    for (const postings of this.#postingsOf(condition, begin)) insert(postings, rule);
  }

  /** A rule is in the lists of some of its conditions only. */
  #unfile(rule: CompiledRule, condition: Condition): void {
    switch (condition.type) {
      case 'text':
        return unfile(this.#texts[condition.field], condition.values, rule);
      case 'address':
        return unfile(this.#addresses[condition.field], condition.values, rule);
      case 'port':
        return unfile(this.#ports, condition.values, rule);
    }
  }

  /** How many rules there are in the longest of its lists; undefined of a negative condition. */
  #load(condition: Condition): number | undefined {
    if (condition.negated) return undefined;
    switch (condition.type) {
      case 'text':
        return longest(this.#texts[condition.field], condition.values);
      case 'address':
        return longest(this.#addresses[condition.field], condition.values);
      case 'port':
        return longest(this.#ports, condition.values);
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

/** Lists under keys. */
interface Lists<K> {
  get(key: K): Postings | undefined;
  delete(key: K): void;
}

const longest = <K>(lists: Lists<K>, keys: readonly K[]): number =>
  keys.reduce((most, key) => Math.max(most, lists.get(key)?.length ?? 0), 0);

function unfile<K>(lists: Lists<K>, keys: readonly K[], rule: CompiledRule): void {
  for (const key of keys) {
    const postings = lists.get(key);
    if (postings === undefined) continue;
    remove(postings, rule);
    if (postings.length === 0) lists.delete(key);
  }
}

const inOrder = (a: CompiledRule, b: CompiledRule): number =>
  a.policy.key === b.policy.key ? a.number - b.number : a.policy.key < b.policy.key ? -1 : 1;

/** Where it is, or would have to be. */
function placeOf(list: Postings, rule: CompiledRule): number {
  let [low, high] = [0, list.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    const found = list[middle];
    if (found !== undefined && inOrder(found, rule) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Once: a rule may list a value twice. */
function insert(list: Postings, rule: CompiledRule): void {
  const last = list.at(-1);
  if (last === undefined || inOrder(last, rule) < 0) return void list.push(rule);
  const place = placeOf(list, rule);
  if (list[place] !== rule) list.splice(place, 0, rule);
}

function remove(list: Postings, rule: CompiledRule): void {
  const place = placeOf(list, rule);
  if (list[place] === rule) list.splice(place, 1);
}

const conditionsOf = ({ clauses }: CompiledRule): readonly Condition[] =>
  clauses.flatMap(({ alternatives }) => alternatives.flat());

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

/** With how many rules a condition is shared; undefined of a negative one. */
type Cost = (condition: Condition) => number | undefined;

/** Conditions one of which a connection meets that the rule matches; undefined if it has none but negative ones. */
function mostSelective({ clauses }: CompiledRule, cost: Cost): readonly Condition[] | undefined {
  let best: Filing | undefined;
  for (const clause of clauses) {
    const filing = filingOf(clause, cost);
    if (filing !== undefined && (best === undefined || filing.cost < best.cost)) best = filing;
  }
  return best?.conditions;
}

/** Each alternative needs a value to be found by. */
function filingOf({ alternatives }: Clause, cost: Cost): Filing | undefined {
  const conditions: Condition[] = [];
  let most = 0;
  for (const alternative of alternatives) {
    const rarest = rarestOf(alternative, cost);
    if (rarest === undefined) return undefined;
    conditions.push(...rarest.conditions);
    most = Math.max(most, rarest.cost);
  }
  return { conditions, cost: most };
}

function rarestOf(alternative: readonly Condition[], costOfOne: Cost): Filing | undefined {
  let best: Filing | undefined;
  for (const condition of alternative) {
    const cost = costOfOne(condition);
    if (cost !== undefined && (best === undefined || cost < best.cost))
      best = { conditions: [condition], cost };
  }
  return best;
}
