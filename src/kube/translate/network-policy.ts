/** Kubernetes' NetworkPolicy → lint's. Pure. */
import { parsePort } from '../../base/ip.ts';
import type { LabelSelector, NetworkPolicy, NetworkRule } from '../../policy/lint/input.ts';
import type { NetworkPolicyObject } from '../resources/network-policy.ts';

type Spec = NonNullable<NetworkPolicyObject['spec']>;
type Rules = Spec['ingress'];

export function translateNetworkPolicy({ metadata, spec = {} }: NetworkPolicyObject): NetworkPolicy {
  const { policyTypes, ingress, egress } = spec;
  // What the API says of a policy without types: ingress always, egress if there are rules for it.
  const restrictsIngress = policyTypes?.includes('Ingress') ?? true;
  const restrictsEgress = policyTypes?.includes('Egress') ?? egress !== undefined;
  return {
    namespace: metadata.namespace,
    name: metadata.name,
    pods: selectorOf(spec.podSelector),
    ingress: restrictsIngress ? rulesOf(ingress) : undefined,
    egress: restrictsEgress ? rulesOf(egress) : undefined,
  };
}

function selectorOf({ matchLabels = {}, matchExpressions = [] }: Spec['podSelector'] = {}): LabelSelector {
  return [
    ...Object.entries(matchLabels).map(([key, value]) => ({ key, operator: 'In' as const, values: [value] })),
    ...matchExpressions.map(({ key, operator, values = [] }) => ({ key, operator, values })),
  ];
}

/** An empty list of ports is as none: all. */
const rulesOf = (rules: Rules = []): readonly NetworkRule[] =>
  rules.map(({ ports = [] }) => ({
    ports:
      ports.length === 0
        ? undefined
        : ports.map(({ protocol = 'TCP', port, endPort }) => ({
            protocol,
            port: typeof port === 'number' ? parsePort(port) : port,
            endPort,
          })),
  }));
