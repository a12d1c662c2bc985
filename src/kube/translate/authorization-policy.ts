/**
 * Istio's AuthorizationPolicy → the model's. Pure. What L4 cannot judge, or cannot read, makes the policy invalid; it
 * then comes with its strict reading, in force when there is no last good version: of an ALLOW the rule is left out,
 * of a DENY the condition is, so that an unreadable policy may refuse too much and never allows too much.
 */
import { type AuthorizationPolicy, type MeshConfig, policyKey } from '../../model/mesh.ts';
import type { AuthorizationPolicyObject, SourcedObject } from '../objects.ts';
import type { Problem } from '../problem.ts';
import { objectProblem } from './problem.ts';
import { rulesOf } from './policy-rules.ts';

export interface TranslatedPolicy {
  /** The policy if `valid`, else its strict reading; undefined if not even that says whom it concerns. */
  readonly policy: AuthorizationPolicy | undefined;
  /** False: some of it could not be translated, and `problems` has an error. */
  readonly valid: boolean;
  readonly problems: readonly Problem[];
}

export function translatePolicy(
  sourced: SourcedObject<AuthorizationPolicyObject>,
  config: MeshConfig,
): TranslatedPolicy {
  const { metadata, spec = {} } = sourced.object;
  const problem = (field: string, message: string): Problem => objectProblem(sourced, field, message);
  if (spec.targetRef !== undefined || (spec.targetRefs ?? []).length > 0) {
    const message = 'policies for waypoints are not enforced yet: use a selector';
    return { policy: undefined, valid: false, problems: [problem('spec.targetRefs', message)] };
  }
  const action = spec.action === 'DENY' ? 'deny' : 'allow';
  const { rules, faults, warnings } = rulesOf(spec.rules ?? [], {
    action,
    namespace: metadata.namespace,
    config,
  });
  const errors = faults.map(({ field, message }) => problem(field, message));
  if (action === 'deny' && spec.rules === undefined) {
    errors.push(
      problem('spec.rules', 'a DENY policy without rules denies nothing; to deny everything write [{}]'),
    );
  }
  const policy = {
    key: policyKey(metadata.namespace, metadata.name),
    namespace: metadata.namespace,
    name: metadata.name,
    action,
    scope: scopeOf(sourced.object, config),
    rules,
  } as const;
  const hints = warnings.map(({ field, message }) => ({
    ...problem(field, message),
    severity: 'warning' as const,
  }));
  return { policy, valid: errors.length === 0, problems: [...errors, ...hints] };
}

function scopeOf(
  { metadata, spec }: AuthorizationPolicyObject,
  config: MeshConfig,
): AuthorizationPolicy['scope'] {
  const labels = spec?.selector?.matchLabels ?? {};
  if (Object.keys(labels).length > 0) return { type: 'selector', labels };
  return { type: metadata.namespace === config.rootNamespace ? 'mesh' : 'namespace' };
}
