/** Which policies were considered at the destination and how each fared. Pure. */
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

/** Of the policies for other pods so many are named. */
const maxNotForIt = 20;

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
  const set = policySetFor(view, destination);
  const { policies, policiesOmitted, mtls, inboundDefault } = explain(set, accessFacts(request));
  const forIt = new Set(set.parts.flatMap((part) => part.policies.map(({ key }) => key)));
  return {
    mode: { mode: mtls.mode, policy: mtls.policy ?? null },
    policies: policies.map(policyItem),
    policiesOmitted,
    notForIt: elsewhere(view, destination, forIt),
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
  return near.slice(0, maxNotForIt).map(({ key, scope }) => ({ policy: key, scope: scopeText(scope) }));
}

const policyItem = ({ scope, rules, ...finding }: PolicyFinding): ExplainedPolicy => ({
  ...finding,
  scope: scopeText(scope),
  rules: rules.map(ruleItem),
});

const ruleItem = ({ clauses, ...finding }: RuleFinding): ExplainedRule => ({
  ...finding,
  clauses: clauses.map(({ conditions, ...clause }) => ({
    ...clause,
    conditions: conditions.map(conditionItem),
  })),
});

const conditionItem = ({ actual, ...finding }: ConditionFinding): ExplainedCondition => ({
  ...finding,
  actual: actual ?? null,
});
