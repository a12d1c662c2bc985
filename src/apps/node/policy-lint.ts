/** Lint of the policies in force, on the node's own state. */
import { type Static, type TSchema, Type } from 'typebox';
import { MeshError } from '../../base/errors.ts';
import { serviceKey } from '../../model/mesh.ts';
import type { MeshView } from '../../model/view.ts';
import { decode } from '../../kube/decode.ts';
import { placedFindings } from '../../kube/policy-findings.ts';
import type { Problem } from '../../kube/problem.ts';
import { DnsLabel, Labels } from '../../kube/resources/fields.ts';
import { NetworkPolicySchema } from '../../kube/resources/network-policy.ts';
import { translateNetworkPolicy } from '../../kube/translate/network-policy.ts';
import { controllerName, meshNamespace } from '../../controller/kubernetes/names.ts';
import type { LintInput, NetworkPolicy } from '../../policy/lint/input.ts';
import { lint } from '../../policy/lint/lint.ts';
import type { PolicyFindingItem } from '../../telemetry/admin-api.ts';
import { findingItem } from '../../telemetry/finding-items.ts';

/** @throws MeshError INVALID_ARGUMENT for NetworkPolicies that are none */
export function lintInForce(
  view: MeshView,
  problems: readonly Problem[],
  given: string,
): readonly PolicyFindingItem[] {
  const findings = lint({
    view,
    complete: true,
    declaredPorts: undefined,
    ...givenIn(given),
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

/** What the caller may read and the node may not. */
interface Given {
  readonly networkPolicies: readonly NetworkPolicy[];
  readonly namespaceLabels: LintInput['namespaceLabels'];
}

function givenIn(text: string): Given {
  if (text === '') return { networkPolicies: [], namespaceLabels: new Map() };
  const { items, namespaces = [] } = parsed(text) as {
    readonly items?: unknown;
    readonly namespaces?: unknown;
  };
  if (!Array.isArray(items) || !Array.isArray(namespaces)) {
    throw new MeshError('INVALID_ARGUMENT', 'the body is no List of NetworkPolicies');
  }
  return {
    networkPolicies: (items as readonly unknown[]).map((item) =>
      translateNetworkPolicy(decoded(NetworkPolicySchema, item, 'NetworkPolicy')),
    ),
    namespaceLabels: new Map(
      (namespaces as readonly unknown[]).map((item) => {
        const { name, labels = {} } = decoded(NamespaceLabels, item, 'namespace');
        return [name, labels];
      }),
    ),
  };
}

const NamespaceLabels = Type.Object({ name: DnsLabel, labels: Type.Optional(Labels) });

function decoded<Schema extends TSchema>(schema: Schema, item: unknown, what: string): Static<Schema> {
  const { value, faults } = decode(schema, item, { strict: false });
  if (faults.length === 0) return value as Static<Schema>;
  throw new MeshError('INVALID_ARGUMENT', `a ${what} cannot be read: ${faults[0]?.message}`);
}

function parsed(text: string): object {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : {};
  } catch (cause) {
    throw new MeshError('INVALID_ARGUMENT', 'the body is not JSON', { cause });
  }
}
