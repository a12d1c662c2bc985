/**
 * The L4 decision. Pure: the policies that apply to a workload, compiled once, and the facts of one connection give
 * a verdict. Used by ztunnel, by `explain` and by tests alike. Order as in Istio: a matching DENY refuses; with no
 * ALLOW policy at all everything else is allowed; else one ALLOW must match.
 */
import type { Verdict } from '../model/connection.ts';
import type { AuthorizationPolicy, PolicyKey } from '../model/mesh.ts';
import {
  type AccessFacts,
  type Attributes,
  attributesOf,
  type Condition,
  conditionsOf,
} from './conditions.ts';

/** The policies in force for one workload, ready to be asked. */
export interface PolicySet {
  readonly deny: readonly CompiledPolicy[];
  readonly allow: readonly CompiledPolicy[];
}

interface CompiledPolicy {
  readonly key: PolicyKey;
  /** Alternatives; the conditions of each must all hold. */
  readonly rules: readonly (readonly Condition[])[];
}

export function compile(policies: readonly AuthorizationPolicy[]): PolicySet {
  const ofAction = (action: AuthorizationPolicy['action']): readonly CompiledPolicy[] =>
    policies
      .filter((policy) => policy.action === action)
      .map(({ key, rules }) => ({ key, rules: rules.map(conditionsOf) }));
  return { deny: ofAction('deny'), allow: ofAction('allow') };
}

export function evaluate(policies: PolicySet, facts: AccessFacts): Verdict {
  const attributes = attributesOf(facts);
  const denial = firstMatch(policies.deny, attributes);
  if (denial !== undefined) return verdict(false, denial, attributes);
  if (policies.allow.length === 0) return byDefault(policies);
  const permission = firstMatch(policies.allow, attributes);
  if (permission !== undefined) return verdict(true, permission, attributes);
  return { allowed: false, policy: undefined, reason: nearMiss(policies.allow, attributes) };
}

/** How each rule of each policy fares, for people: nothing is skipped once the decision is clear. */
export interface RuleFinding {
  readonly policy: PolicyKey;
  readonly action: AuthorizationPolicy['action'];
  /** Position in the policy, from 1. */
  readonly rule: number;
  readonly matches: boolean;
  readonly conditions: readonly {
    readonly field: Condition['field'];
    readonly values: readonly string[];
    /** undefined: the connection has none, for lack of an identity. */
    readonly actual: string | undefined;
    readonly holds: boolean;
  }[];
}

export interface Explanation {
  readonly verdict: Verdict;
  readonly findings: readonly RuleFinding[];
}

export function explain(policies: PolicySet, facts: AccessFacts): Explanation {
  const attributes = attributesOf(facts);
  const findings = (['deny', 'allow'] as const).flatMap((action) =>
    policies[action].flatMap((policy) =>
      policy.rules.map((conditions, index) => finding({ policy, conditions, index }, action, attributes)),
    ),
  );
  return { verdict: evaluate(policies, facts), findings };
}

interface Rule {
  readonly policy: CompiledPolicy;
  readonly conditions: readonly Condition[];
  /** From 0. */
  readonly index: number;
}

const holds = (conditions: readonly Condition[], attributes: Attributes): boolean =>
  conditions.every((condition) => condition.holds(attributes));

function firstMatch(policies: readonly CompiledPolicy[], attributes: Attributes): Rule | undefined {
  for (const policy of policies) {
    const index = policy.rules.findIndex((conditions) => holds(conditions, attributes));
    const conditions = policy.rules[index];
    if (conditions !== undefined) return { policy, conditions, index };
  }
  return undefined;
}

function verdict(allowed: boolean, { policy, conditions, index }: Rule, attributes: Attributes): Verdict {
  const why = conditions.map((condition) => sentence(condition, attributes)).join(' and ');
  const reason = `rule ${index + 1} matches${why === '' ? ' everything' : `: ${why}`}`;
  return { allowed, policy: policy.key, reason };
}

const byDefault = ({ deny }: PolicySet): Verdict => ({
  allowed: true,
  policy: undefined,
  reason: deny.length === 0 ? 'no policy applies' : 'no DENY policy matches and there is no ALLOW policy',
});

/** Why no ALLOW matched, told by the rule that failed by the fewest conditions: the one probably meant. */
function nearMiss(policies: readonly CompiledPolicy[], attributes: Attributes): string {
  const misses = policies.flatMap((policy) =>
    policy.rules.map((conditions, index) => {
      const failed = conditions.filter((condition) => !condition.holds(attributes));
      return { failed, where: `${policy.key} rule ${index + 1}` };
    }),
  );
  const nearest = misses.toSorted((a, b) => a.failed.length - b.failed.length)[0];
  const keys = policies.map((policy) => policy.key).join(', ');
  if (nearest === undefined) return `${keys} has no rule, so it allows nothing`;
  return `${nearest.where}: ${nearest.failed.map((condition) => sentence(condition, attributes)).join(' and ')}`;
}

const nouns: Readonly<Record<Condition['field'], string>> = {
  namespaces: 'source namespace',
  notNamespaces: 'source namespace',
  principals: 'source principal',
  notPrincipals: 'source principal',
  serviceAccounts: 'source service account',
  notServiceAccounts: 'source service account',
  ipBlocks: 'source address',
  notIpBlocks: 'source address',
  ports: 'port',
  notPorts: 'port',
};

/** `source namespace "bots" is not in namespaces`. */
function sentence(condition: Condition, attributes: Attributes): string {
  const { field } = condition;
  const actual = condition.actual(attributes);
  if (actual === undefined) return `the source has no identity (plaintext), which ${field} looks at`;
  const isListed = condition.holds(attributes) !== field.startsWith('not');
  return `${nouns[field]} ${actual} is ${isListed ? '' : 'not '}in ${field}`;
}

function finding(rule: Rule, action: RuleFinding['action'], attributes: Attributes): RuleFinding {
  const conditions = rule.conditions.map((condition) => ({
    field: condition.field,
    values: condition.values,
    actual: condition.actual(attributes),
    holds: condition.holds(attributes),
  }));
  const matches = conditions.every((condition) => condition.holds);
  return { policy: rule.policy.key, action, rule: rule.index + 1, matches, conditions };
}
