/**
 * NetworkPolicy, read by lint alone: who enforces it is the cluster's network.
 * Source of the names: Kubernetes API reference, NetworkPolicy v1.
 */
import { type Static, Type } from 'typebox';
import { ignored, Labels, NamespacedMetadata, PortNumber, Protocol } from './fields.ts';

const Expression = Type.Object({
  key: Type.String({ minLength: 1 }),
  operator: Type.Enum(['In', 'NotIn', 'Exists', 'DoesNotExist']),
  values: Type.Optional(Type.Array(Type.String())),
});

const Port = Type.Object({
  protocol: Type.Optional(Protocol),
  /** A number, or the name of a container port. */
  port: Type.Optional(Type.Union([PortNumber, Type.String({ minLength: 1 })])),
  endPort: Type.Optional(PortNumber),
});

const ports = Type.Optional(Type.Array(Port));

const Selector = Type.Object({
  matchLabels: Type.Optional(Labels),
  matchExpressions: Type.Optional(Type.Array(Expression)),
});

const Peer = Type.Object({
  podSelector: Type.Optional(Selector),
  namespaceSelector: Type.Optional(Selector),
  ipBlock: Type.Optional(
    Type.Object({ cidr: Type.String(), except: Type.Optional(Type.Array(Type.String())) }),
  ),
});

const peers = Type.Optional(Type.Array(Peer));

const NetworkPolicySpec = Type.Object({
  podSelector: Type.Optional(Selector),
  policyTypes: Type.Optional(Type.Array(Type.Enum(['Ingress', 'Egress']))),
  ingress: Type.Optional(Type.Array(Type.Object({ ports, from: peers }))),
  egress: Type.Optional(Type.Array(Type.Object({ ports, to: peers }))),
});

export const NetworkPolicySchema = Type.Object({
  apiVersion: Type.Literal('networking.k8s.io/v1'),
  kind: Type.Literal('NetworkPolicy'),
  metadata: NamespacedMetadata,
  spec: Type.Optional(NetworkPolicySpec),
  ...ignored('status'),
});
export type NetworkPolicyObject = Static<typeof NetworkPolicySchema>;
