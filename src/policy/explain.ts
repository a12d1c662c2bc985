/** How each policy, and each rule of it, fares, for people: nothing is skipped once the decision is clear. Pure. */
import type { IpPrefix } from '../base/ip.ts';
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
import type { PolicySet } from './policy-set.ts';
import { actualValue, conditionSentence, fieldName, matchReason, nearestMiss } from './reason.ts';
import { alternativeHolds, type Clause, type CompiledRule, ruleMatches } from './rules.ts';

export interface ConditionFinding {
  readonly field: PolicyField;
  readonly values: readonly string[];
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
}

export interface Explanation {
  readonly verdict: Verdict;
  /** Whether plaintext is taken, and who says so. */
  readonly mtls: EffectiveMode;
  /** Where no ALLOW policy applies; undefined: it is to allow. */
  readonly inboundDefault: Verdict | undefined;
  /** In the order in which actions are asked, by key among those of one action. */
  readonly policies: readonly PolicyFinding[];
}

export function explain(policies: PolicySet, facts: AccessFacts): Explanation {
  const attributes = attributesOf(facts);
  const layers = policies.parts.map(({ rehearsed, enforced }) => rehearsed ?? enforced);
  const rulesOf = Map.groupBy(
    layers.flatMap((layer) => policyActions.flatMap((action) => layer[action].index.rules)),
    ({ policy }) => policy,
  );
  const considered = policyActions.flatMap((action) =>
    layers.flatMap((layer) => layer[action].policies).toSorted((a, b) => (a.key < b.key ? -1 : 1)),
  );
  return {
    verdict: evaluate(policies, facts),
    mtls: effectiveMode(policies.peers, facts.port),
    inboundDefault: policies.inboundDefault,
    policies: considered.map((policy) => policyFinding(policy, rulesOf.get(policy) ?? [], attributes)),
  };
}

function policyFinding(
  { key, action, scope, dryRun }: AuthorizationPolicy,
  rules: readonly CompiledRule[],
  attributes: Attributes,
): PolicyFinding {
  const match = rules.find((rule) => ruleMatches(rule, attributes));
  const sentence =
    match === undefined
      ? (nearestMiss(rules, attributes)?.why ?? 'it has no rule, so it matches nothing')
      : matchReason(match, attributes);
  return {
    policy: key,
    action,
    scope,
    dryRun: dryRun === true,
    matches: match !== undefined,
    sentence,
    rules: rules.map((rule) => ruleFinding(rule, attributes)),
  };
}

const ruleFinding = (rule: CompiledRule, attributes: Attributes): RuleFinding => ({
  rule: rule.number,
  matches: ruleMatches(rule, attributes),
  clauses: rule.clauses.flatMap((clause) => clauseFindings(clause, attributes)),
});

const clauseFindings = ({ part, index, alternatives }: Clause, attributes: Attributes): ClauseFinding[] =>
  alternatives.map((conditions, i) => ({
    at: `${part}[${index + i}]`,
    holds: alternativeHolds(conditions, attributes),
    conditions: conditions.map((condition) => conditionFinding(condition, attributes)),
  }));

const conditionFinding = (condition: Condition, attributes: Attributes): ConditionFinding => ({
  field: fieldName(condition),
  values: writtenValues(condition),
  actual: actualValue(condition.field, attributes),
  holds: condition.holds(attributes),
  sentence: conditionSentence(condition, attributes),
});

const writtenValues = (condition: Condition): readonly string[] =>
  condition.type === 'address' ? condition.given.map(prefixText) : condition.values.map(String);

const prefixText = ({ base, length }: IpPrefix): string => `${base}/${length}`;
