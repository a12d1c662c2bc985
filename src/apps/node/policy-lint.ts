/** Lint of the policies in force, on the node's own state. */
import { MeshError } from '../../base/errors.ts';
import { serviceKey } from '../../model/mesh.ts';
import type { MeshView } from '../../model/view.ts';
import { decode } from '../../kube/decode.ts';
import { placedFindings } from '../../kube/policy-findings.ts';
import type { Problem } from '../../kube/problem.ts';
import { type NetworkPolicyObject, NetworkPolicySchema } from '../../kube/resources/network-policy.ts';
import { translateNetworkPolicy } from '../../kube/translate/network-policy.ts';
import { controllerName, meshNamespace } from '../../controller/kubernetes/names.ts';
import type { NetworkPolicy } from '../../policy/lint/input.ts';
import { lint } from '../../policy/lint/lint.ts';
import type { PolicyFindingItem } from '../../telemetry/admin-api.ts';
import { findingItem } from '../../telemetry/finding-items.ts';

/** @throws MeshError INVALID_ARGUMENT for NetworkPolicies that are none */
export function lintInForce(
  view: MeshView,
  problems: readonly Problem[],
  networkPolicies: string,
): readonly PolicyFindingItem[] {
  const findings = lint({
    view,
    complete: true,
    declaredPorts: undefined,
    networkPolicies: networkPoliciesIn(networkPolicies),
    namespaces: new Set(),
    controller: serviceKey(meshNamespace, controllerName),
  });
  return placedFindings(problems.filter(isOfPolicy), findings).map(findingItem);
}

const policyKinds: ReadonlySet<string> = new Set([
  'AuthorizationPolicy',
  'PeerAuthentication',
  'NamespaceAccess',
]);

const isOfPolicy = ({ object }: Problem): boolean => object !== undefined && policyKinds.has(object.kind);

function networkPoliciesIn(text: string): readonly NetworkPolicy[] {
  if (text === '') return [];
  const { items } = parsed(text) as { readonly items?: unknown };
  if (!Array.isArray(items))
    throw new MeshError('INVALID_ARGUMENT', 'the body is no List of NetworkPolicies');
  return (items as readonly unknown[]).map((item) => {
    const { value, faults } = decode(NetworkPolicySchema, item, { strict: false });
    if (faults.length === 0) return translateNetworkPolicy(value as NetworkPolicyObject);
    throw new MeshError('INVALID_ARGUMENT', `a NetworkPolicy cannot be read: ${faults[0]?.message}`);
  });
}

function parsed(text: string): object {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : {};
  } catch (cause) {
    throw new MeshError('INVALID_ARGUMENT', 'the body is not JSON', { cause });
  }
}
