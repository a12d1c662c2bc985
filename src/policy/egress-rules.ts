/** What NamespaceAccess objects say together of where a pod may go. Pure. */
import type { EgressRule, NamespaceAccess } from '../model/access.ts';
import type { MeshConfig } from '../model/mesh.ts';
import type { PolicyKey } from '../model/policy.ts';

/** A rule, and where it stands. */
export interface PlacedRule extends EgressRule {
  /** undefined: built in, nobody wrote it. */
  readonly policy: PolicyKey | undefined;
  /** Its field in the object: `spec.egress.rules[0]`. */
  readonly field: string;
}

/** What several objects say of egress, taken together. */
export interface EgressRules {
  /** The first object by whose default what no rule allows is refused; undefined: it is allowed. */
  readonly deniedBy: PolicyKey | undefined;
  readonly rules: readonly PlacedRule[];
}

/** undefined: no object has a say, and nothing is restricted. */
export function egressRules(
  objects: readonly NamespaceAccess[],
  { clusterDns }: Pick<MeshConfig, 'clusterDns'>,
): EgressRules | undefined {
  const speaking = objects.flatMap(({ key, egress }) => (egress === undefined ? [] : [{ key, egress }]));
  if (speaking.length === 0) return undefined;
  const rules = speaking.flatMap(({ key, egress }) =>
    egress.rules.map((rule, i) => ({ ...rule, policy: key, field: `spec.egress.rules[${i}]` })),
  );
  const deniedBy = speaking.find(({ egress }) => egress.default === 'deny')?.key;
  return { deniedBy, rules: [...rules, dnsRule(clusterDns)] };
}

/** Without names nothing can be reached that a rule allows. Whoever means it denies it by a rule. */
const dnsRule = (to: MeshConfig['clusterDns']): PlacedRule => ({
  action: 'allow',
  to,
  ports: [
    { protocol: 'udp', first: 53, last: 53 },
    { protocol: 'tcp', first: 53, last: 53 },
  ],
  policy: undefined,
  field: 'cluster DNS',
});
