/**
 * How policies, and the rules of each, fare, for people: nothing is skipped once the decision is clear. What matches is
 * always told, and so is what a refusal names as the nearest. Pure.
 */
import { formatPrefix } from '../base/ip.ts';
import type { Verdict } from '../model/connection.ts';
import {
  type AuthorizationPolicy,
  type PolicyAction,
  policyActions,
  type PolicyKey,
  type PolicyScope,
} from '../model/policy.ts';
import { type AccessFacts, type Attributes, attributesOf } from './attributes.ts';
import type { Condition, PolicyField } from './conditions.ts';
import { evaluate } from './evaluate.ts';
import { type EffectiveMode, effectiveMode } from './peer-authentication.ts';
import type { Layer, PolicySet } from './policy-set.ts';
import { actualValue, conditionSentence, fieldName, matchReason, nearestMiss } from './reason.ts';
import { alternativeHolds, type Clause, type CompiledRule, ruleMatches } from './rules.ts';

/**
 * So much is told; the rest is counted. Whoever asks is a person, and the node that answers carries connections meanwhile:
 * among 10 000 policies on one pod an answer takes 15 ms of it.
 */
const limits = { policies: 200, rules: 50, values: 16 } as const;

export interface ConditionFinding {
  readonly field: PolicyField;
  readonly values: readonly string[];
  readonly valuesOmitted: number;
  /** undefined: the connection has none, for lack of an identity. */
  readonly actual: string | undefined;
  readonly holds: boolean;
  /** `source namespace bots is not in namespaces`. */
  readonly sentence: string;
}

export interface ClauseFinding {
  /** Where in the rule: `from[1]`, `when[0]`. */
  readonly at: string;
  readonly holds: boolean;
  /** All of them must hold. */
  readonly conditions: readonly ConditionFinding[];
}

export interface RuleFinding {
  /** Position in the policy, from 1. */
  readonly rule: number;
  readonly matches: boolean;
  /** One of each part (`from`, `to`) and all of `when` must hold. */
  readonly clauses: readonly ClauseFinding[];
}

export interface PolicyFinding {
  readonly policy: PolicyKey;
  readonly action: PolicyAction;
  readonly scope: PolicyScope;
  readonly dryRun: boolean;
  /** Some rule does. */
  readonly matches: boolean;
  /** The first rule that matches and why, as the verdict has it; or of the rule that came nearest, what it lacks. */
  readonly sentence: string;
  readonly rules: readonly RuleFinding[];
  readonly rulesOmitted: number;
}

export interface Explanation {
  readonly verdict: Verdict;
  /** Whether plaintext is taken, and who says so. */
  readonly mtls: EffectiveMode;
  /** Where no ALLOW policy applies; undefined: it is to allow. */
  readonly inboundDefault: Verdict | undefined;
  /** In the order in which actions are asked, by key among those of one action. */
  readonly policies: readonly PolicyFinding[];
  /** Considered, but not told of: none of them matches. */
  readonly policiesOmitted: number;
}

export function explain(policies: PolicySet, facts: AccessFacts): Explanation {
  const attributes = attributesOf(facts);
  const layers = policies.parts.flatMap(({ rehearsed, enforced }) =>
    policyActions.map((action) => (rehearsed ?? enforced)[action]),
  );
  const considered = layers.flatMap((layer) => layer.policies);
  const told = preferring(considered, limits.policies, [
    matchingIn(layers, attributes),
    nearIn(layers, attributes),
  ]);
  const rulesOf = Map.groupBy(
    layers.flatMap(({ index }) => index.rules.filter(({ policy }) => told.has(policy))),
    ({ policy }) => policy,
  );
  return {
    verdict: evaluate(policies, facts),
    mtls: effectiveMode(policies.peers, facts.port),
    inboundDefault: policies.inboundDefault,
    policies: [...told]
      .toSorted(inOrder)
      .map((policy) => policyFinding(policy, rulesOf.get(policy) ?? [], attributes)),
    policiesOmitted: considered.length - told.size,
  };
}

const inOrder = (a: AuthorizationPolicy, b: AuthorizationPolicy): number =>
  policyActions.indexOf(a.action) - policyActions.indexOf(b.action) || (a.key < b.key ? -1 : 1);

const policiesOf = (rules: readonly CompiledRule[]): ReadonlySet<AuthorizationPolicy> =>
  new Set(rules.map(({ policy }) => policy));

const matchingIn = (layers: readonly Layer[], attributes: Attributes): ReadonlySet<AuthorizationPolicy> =>
  policiesOf(layers.flatMap(({ index }) => index.rules.filter((rule) => ruleMatches(rule, attributes))));

/** Those that have something in common with the connection: what a refusal takes for the nearest is one of them. */
function nearIn(layers: readonly Layer[], attributes: Attributes): ReadonlySet<AuthorizationPolicy> {
  const missed: CompiledRule[] = [];
  for (const { index } of layers) index.first(attributes, missed);
  return policiesOf(missed);
}

/** So many: those that are preferred, the first set of them most, and then the first there are. */
function preferring<T>(
  all: readonly T[],
  limit: number,
  preferred: readonly ReadonlySet<T>[],
): ReadonlySet<T> {
  const chosen = new Set<T>();
  for (const candidates of [...preferred, all]) {
    for (const one of candidates) {
      if (chosen.size >= limit) return chosen;
      chosen.add(one);
    }
  }
  return chosen;
}

function policyFinding(
  { key, action, scope, dryRun }: AuthorizationPolicy,
  rules: readonly CompiledRule[],
  attributes: Attributes,
): PolicyFinding {
  const matching = rules.filter((rule) => ruleMatches(rule, attributes));
  const [match] = matching;
  const chosen = preferring(rules, limits.rules, [new Set(matching)]);
  const told = rules.filter((rule) => chosen.has(rule));
  const sentence =
    match === undefined
      ? (nearestMiss(told, attributes)?.why ?? 'it has no rule, so it matches nothing')
      : matchReason(match, attributes);
  return {
    policy: key,
    action,
    scope,
    dryRun: dryRun === true,
    matches: match !== undefined,
    sentence,
    rules: told.map((rule) => ruleFinding(rule, attributes)),
    rulesOmitted: rules.length - told.length,
  };
}

const ruleFinding = (rule: CompiledRule, attributes: Attributes): RuleFinding => ({
  rule: rule.number,
  matches: ruleMatches(rule, attributes),
  clauses: rule.clauses.flatMap((clause) => clauseFindings(clause, attributes)),
});

const clauseFindings = ({ part, index, alternatives }: Clause, attributes: Attributes): ClauseFinding[] =>
  alternatives.slice(0, limits.rules).map((conditions, i) => ({
    at: `${part}[${index + i}]`,
    holds: alternativeHolds(conditions, attributes),
    conditions: conditions.map((condition) => conditionFinding(condition, attributes)),
  }));

const conditionFinding = (condition: Condition, attributes: Attributes): ConditionFinding => ({
  field: fieldName(condition),
  values: writtenValues(condition),
  valuesOmitted: Math.max(0, condition.values.length - limits.values),
  actual: actualValue(condition.field, attributes),
  holds: condition.holds(attributes),
  sentence: conditionSentence(condition, attributes),
});

const writtenValues = (condition: Condition): readonly string[] =>
  condition.type === 'address'
    ? condition.given.slice(0, limits.values).map(formatPrefix)
    : condition.values.slice(0, limits.values).map(String);
