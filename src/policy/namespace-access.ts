/** Which NamespaceAccess objects have a say about a workload, and what they say together. Pure. */
import type { EgressRule, NamespaceAccess } from '../model/access.ts';
import type { Verdict } from '../model/connection.ts';
import type { MeshConfig, Workload } from '../model/mesh.ts';
import type { PolicyKey } from '../model/policy.ts';
import type { MeshView } from '../model/view.ts';

/** Those that select the workload, by key. Asked again of the same objects, it is the same look-up. */
export type AccessLookup = (workload: Pick<Workload, 'namespace' | 'labels'>) => readonly NamespaceAccess[];

export function accessLookup({ access }: Pick<MeshView, 'access'>): AccessLookup {
  const known = lookups.get(access);
  if (known !== undefined) return known;
  const made = lookupIn(access);
  lookups.set(access, made);
  return made;
}

const lookups = new WeakMap<MeshView['access'], AccessLookup>();

function lookupIn(access: MeshView['access']): AccessLookup {
  const byNamespace = Map.groupBy(access.values(), ({ namespace }) => namespace);
  for (const objects of byNamespace.values()) objects.sort((a, b) => (a.key < b.key ? -1 : 1));
  return ({ namespace, labels }) =>
    (byNamespace.get(namespace) ?? none).filter((object) =>
      Object.entries(object.labels).every(([name, value]) => labels[name] === value),
    );
}

const none: readonly NamespaceAccess[] = [];

/** On an inbound connection about which no policy says anything; undefined: it is allowed, as without these objects. */
export function defaultVerdict(objects: readonly NamespaceAccess[]): Verdict | undefined {
  const denying = objects.find(({ inbound }) => inbound === 'deny');
  return denying === undefined
    ? undefined
    : {
        allowed: false,
        policy: denying.key,
        reason: 'no ALLOW policy applies, and spec.inbound.default is Deny',
      };
}

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
