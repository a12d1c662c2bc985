/** Which policies were considered at the destination and how each fared, bounded so that an answer stays readable. Pure. */
import type { Workload } from '../../model/mesh.ts';
import type { MeshView } from '../../model/view.ts';
import { accessFacts, type PolicySetLookup } from '../../policy/authorize.ts';
import {
  type ConditionFinding,
  explain,
  type PolicyFinding,
  type RuleFinding,
} from '../../policy/explain.ts';
import { scopeText } from '../../policy/scope-text.ts';
import type {
  ExplainedCondition,
  ExplainedPolicy,
  ExplainedRule,
  ExplainedTls,
  ExplainedWay,
} from '../../telemetry/explanation-types.ts';
import { accessRequest } from '../authorize.ts';
import { type Facts, settle } from '../facts.ts';
import { verdictItem } from './verdict-item.ts';

/** More are counted. Those that match always are among them. */
const limits = { policies: 200, rules: 50, values: 16, notForIt: 20 } as const;

type Considered = Pick<ExplainedWay, 'policies' | 'policiesOmitted' | 'notForIt' | 'inboundDefault'> & {
  readonly mode: Pick<ExplainedTls, 'mode' | 'policy'>;
};

/** `inbound`: the connection as the destination's ztunnel has it. Undefined where it does not know the pod. */
export function considered(
  view: MeshView,
  inbound: Facts,
  policySetFor: PolicySetLookup,
): Considered | undefined {
  const request = accessRequest(settle(inbound), view);
  if (request === undefined) return undefined;
  const { destination } = request;
  const { policies, mtls, inboundDefault } = explain(policySetFor(view, destination), accessFacts(request));
  const shown = preferring(policies, limits.policies);
  return {
    mode: { mode: mtls.mode, policy: mtls.policy ?? null },
    policies: shown.map(policyItem),
    policiesOmitted: policies.length - shown.length,
    notForIt: elsewhere(view, destination, new Set(policies.map(({ policy }) => policy))),
    inboundDefault:
      inboundDefault === undefined ? null : verdictItem({ verdict: inboundDefault, refused: undefined }),
  };
}

/** Policies that look as if they were meant for the pod, and are not. */
function elsewhere(
  { policies, config }: MeshView,
  { namespace }: Workload,
  forIt: ReadonlySet<string>,
): ExplainedWay['notForIt'] {
  const near = [...policies.values()].filter(
    (policy) =>
      !forIt.has(policy.key) && (policy.namespace === namespace || policy.namespace === config.rootNamespace),
  );
  return near.slice(0, limits.notForIt).map(({ key, scope }) => ({ policy: key, scope: scopeText(scope) }));
}

function policyItem({ scope, rules, ...finding }: PolicyFinding): ExplainedPolicy {
  const shown = preferring(rules, limits.rules);
  return {
    ...finding,
    scope: scopeText(scope),
    rules: shown.map(ruleItem),
    rulesOmitted: rules.length - shown.length,
  };
}

const ruleItem = ({ rule, matches, clauses }: RuleFinding): ExplainedRule => ({
  rule,
  matches,
  clauses: clauses
    .slice(0, limits.rules)
    .map(({ at, holds, conditions }) => ({ at, holds, conditions: conditions.map(conditionItem) })),
});

const conditionItem = ({ values, actual, ...finding }: ConditionFinding): ExplainedCondition => ({
  ...finding,
  values: values.slice(0, limits.values),
  valuesOmitted: Math.max(0, values.length - limits.values),
  actual: actual ?? null,
});

/** So many, in their order, those that match before others. */
function preferring<T extends { readonly matches: boolean }>(all: readonly T[], limit: number): readonly T[] {
  if (all.length <= limit) return all;
  const chosen = new Set(all.toSorted((a, b) => Number(b.matches) - Number(a.matches)).slice(0, limit));
  return all.filter((each) => chosen.has(each));
}
