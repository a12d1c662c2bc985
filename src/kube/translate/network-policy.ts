/** Kubernetes' NetworkPolicy → lint's. Pure. */
import { type IpPrefix, parsePort, parsePrefix } from '../../base/ip.ts';
import type {
  LabelSelector,
  NetworkPeer,
  NetworkPolicy,
  NetworkPort,
  NetworkRule,
} from '../../policy/lint/input.ts';
import type { NetworkPolicyObject } from '../resources/network-policy.ts';

type Spec = NonNullable<NetworkPolicyObject['spec']>;
type PortObjects = NonNullable<Spec['ingress']>[number]['ports'];
type PeerObjects = NonNullable<Spec['ingress']>[number]['from'];
type SelectorObject = NonNullable<Spec['podSelector']>;

export function translateNetworkPolicy({ metadata, spec = {} }: NetworkPolicyObject): NetworkPolicy {
  const { policyTypes, ingress = [], egress = [] } = spec;
  // What the API says of a policy without types: ingress always, egress if there are rules for it.
  const restrictsIngress = policyTypes?.includes('Ingress') ?? true;
  const restrictsEgress = policyTypes?.includes('Egress') ?? spec.egress !== undefined;
  return {
    namespace: metadata.namespace,
    name: metadata.name,
    pods: selectorOf(spec.podSelector),
    ingress: restrictsIngress ? ingress.map(({ from, ports }) => ruleOf(from, ports)) : undefined,
    egress: restrictsEgress ? egress.map(({ to, ports }) => ruleOf(to, ports)) : undefined,
  };
}

function selectorOf({ matchLabels = {}, matchExpressions = [] }: SelectorObject = {}): LabelSelector {
  return [
    ...Object.entries(matchLabels).map(([key, value]) => ({ key, operator: 'In' as const, values: [value] })),
    ...matchExpressions.map(({ key, operator, values = [] }) => ({ key, operator, values })),
  ];
}

/** An empty list is as none: all. */
const ruleOf = (peers: PeerObjects = [], ports: PortObjects = []): NetworkRule => ({
  peers: peers.length === 0 ? undefined : peers.flatMap(peerOf),
  ports: ports.length === 0 ? undefined : ports.map(portOf),
});

/** None for a block that is none: the API server would not have taken it. */
function peerOf({
  podSelector,
  namespaceSelector,
  ipBlock,
}: NonNullable<PeerObjects>[number]): NetworkPeer[] {
  if (ipBlock === undefined) {
    const namespaces = namespaceSelector === undefined ? undefined : selectorOf(namespaceSelector);
    return [{ type: 'pods', namespaces, pods: selectorOf(podSelector) }];
  }
  const prefix = tryPrefix(ipBlock.cidr);
  const except = (ipBlock.except ?? []).flatMap((text) => tryPrefix(text) ?? []);
  return prefix === undefined ? [] : [{ type: 'block', prefix, except }];
}

function tryPrefix(text: string): IpPrefix | undefined {
  try {
    return parsePrefix(text);
  } catch {
    return undefined;
  }
}

const portOf = ({ protocol = 'TCP', port, endPort }: NonNullable<PortObjects>[number]): NetworkPort => ({
  protocol,
  port: typeof port === 'number' ? parsePort(port) : port,
  endPort,
});
