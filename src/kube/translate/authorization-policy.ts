/**
 * Istio's AuthorizationPolicy → the model's. Pure. What only a waypoint can judge is made stricter, and in force with
 * a warning. What cannot be read makes the policy invalid; it then comes with its strict reading, in force when there
 * is no last good version.
 */
import type { MeshConfig } from '../../model/mesh.ts';
import { type AuthorizationPolicy, type PolicyAction, policyKey } from '../../model/policy.ts';
import type { AuthorizationPolicyObject, SourcedObject } from '../objects.ts';
import { dryRunAnnotation } from '../resources/security.ts';
import type { Translated } from './last-good.ts';
import { type Remark, rulesOf } from './policy-rules.ts';
import { selectorScope, targetOf } from './policy-target.ts';
import { remarkProblems } from './problem.ts';

export function translatePolicy(
  sourced: SourcedObject<AuthorizationPolicyObject>,
  config: MeshConfig,
): Translated<AuthorizationPolicy> {
  const { metadata, spec = {} } = sourced.object;
  const { action: _action, selector: _selector, targetRef: _ref, targetRefs: _refs, ...rest } = spec;
  const { rules: given, provider: _provider, ...unknown } = rest;
  const action = actions[spec.action ?? 'ALLOW'];
  const { rules, remarks } = rulesOf(given ?? [], { action, namespace: metadata.namespace, config });
  const target = targetOf(sourced.object, config);
  const dryRun = dryRunOf(sourced.object);
  const all = [
    ...actionRemarks(action, given === undefined),
    ...target.remarks,
    ...remarks,
    ...dryRun.remarks,
    ...Object.keys(unknown).map(unknownField),
  ];
  const policy = {
    ...identityOf(sourced.object),
    action,
    scope: target.scope,
    rules,
    ...(dryRun.dryRun ? { dryRun: true as const } : {}),
  };
  return {
    value: Object.keys(unknown).length === 0 ? policy : strictestPolicy(sourced.object, config),
    valid: all.every(({ type }) => type !== 'unreadable'),
    problems: remarkProblems(sourced, all),
  };
}

/** What is in force of a policy that cannot be understood at all. */
export const strictestPolicy = (
  object: AuthorizationPolicyObject,
  config: MeshConfig,
): AuthorizationPolicy => ({
  ...identityOf(object),
  action: 'deny',
  scope: selectorScope(object, config),
  rules: [{}],
});

const identityOf = ({ metadata: { namespace, name } }: AuthorizationPolicyObject) => ({
  key: policyKey(namespace, name),
  namespace,
  name,
});

const actions = { ALLOW: 'allow', DENY: 'deny', AUDIT: 'audit', CUSTOM: 'custom' } as const;

/** It may turn the policy's meaning around. */
const unknownField = (name: string): Remark => ({
  type: 'unreadable',
  field: `spec.${name}`,
  message: 'a field that this version of mesh-ebpf does not know',
});

function actionRemarks(action: PolicyAction, hasNoRules: boolean): readonly Remark[] {
  const field = 'spec.action';
  if (action === 'custom') {
    const message =
      'CUSTOM needs a waypoint to ask its provider; without one, what its rules match is refused';
    return [{ type: 'l7', field, message }];
  }
  if (action !== 'deny' || !hasNoRules) return [];
  const message = 'a DENY policy without rules denies nothing; to deny everything write [{}]';
  return [{ type: 'unreadable', field: 'spec.rules', message }];
}

interface DryRun {
  readonly dryRun: boolean;
  readonly remarks: readonly Remark[];
}

function dryRunOf({ metadata }: AuthorizationPolicyObject): DryRun {
  const value = metadata.annotations?.[dryRunAnnotation];
  if (value === 'true') return { dryRun: true, remarks: [] };
  if (value === undefined || value === 'false') return { dryRun: false, remarks: [] };
  const message = `"${value}" is neither "true" nor "false": the policy is enforced`;
  const field = `metadata.annotations["${dryRunAnnotation}"]`;
  return { dryRun: false, remarks: [{ type: 'warning', field, message }] };
}
