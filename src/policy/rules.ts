/** The rules of a policy, ready to be asked: clauses of alternatives of conditions. */
import type { AuthorizationPolicy, PolicyMatch, PolicyRule } from '../model/policy.ts';
import type { Attributes } from './attributes.ts';
import { type Condition, conditionsOf } from './conditions.ts';

/** Holds when one of the alternatives does, all conditions of it. */
export interface Clause {
  readonly part: 'from' | 'to' | 'when';
  /** Position of the clause's first alternative in its part of the policy, from 0. */
  readonly index: number;
  readonly alternatives: readonly (readonly Condition[])[];
}

/** Matches when all its clauses hold. */
export interface CompiledRule {
  readonly policy: AuthorizationPolicy;
  /** Position in the policy, from 1. */
  readonly number: number;
  readonly clauses: readonly Clause[];
}

export const compileRules = (policy: AuthorizationPolicy): readonly CompiledRule[] =>
  policy.rules.map((rule, i) => ({ policy, number: rule.number ?? i + 1, clauses: clausesOf(rule) }));

const clausesOf = ({ from = [], to = [], when = [] }: PolicyRule): readonly Clause[] => [
  ...anyOf('from', 0, from),
  ...anyOf('to', 0, to),
  ...when.flatMap((match, i) => anyOf('when', i, [match])),
];

/** `slice`: an array that was put together has room to spare. */
function anyOf(part: Clause['part'], index: number, matches: readonly PolicyMatch[]): readonly Clause[] {
  return matches.length === 0
    ? []
    : [{ part, index, alternatives: matches.map((match) => conditionsOf(match).slice()) }];
}

export const alternativeHolds = (conditions: readonly Condition[], attributes: Attributes): boolean =>
  conditions.every((condition) => condition.holds(attributes));

export const clauseHolds = ({ alternatives }: Clause, attributes: Attributes): boolean =>
  alternatives.some((conditions) => alternativeHolds(conditions, attributes));

export const ruleMatches = ({ clauses }: CompiledRule, attributes: Attributes): boolean =>
  clauses.every((clause) => clauseHolds(clause, attributes));
