/** Namespace, ServiceAccount and Node: the parts that are read. */
import { type Static, Type } from 'typebox';
import { ClusterMetadata, DnsLabel, ignored, NamespacedMetadata } from './fields.ts';

export const NamespaceSchema = Type.Object({
  apiVersion: Type.Literal('v1'),
  kind: Type.Literal('Namespace'),
  metadata: Type.Object({ ...ClusterMetadata.properties, name: DnsLabel }),
  ...ignored('spec', 'status'),
});
export type Namespace = Static<typeof NamespaceSchema>;

export const ServiceAccountSchema = Type.Object({
  apiVersion: Type.Literal('v1'),
  kind: Type.Literal('ServiceAccount'),
  metadata: NamespacedMetadata,
  ...ignored('secrets', 'imagePullSecrets', 'automountServiceAccountToken'),
});
export type ServiceAccount = Static<typeof ServiceAccountSchema>;

export const NodeSchema = Type.Object({
  apiVersion: Type.Literal('v1'),
  kind: Type.Literal('Node'),
  metadata: ClusterMetadata,
  spec: Type.Optional(
    Type.Object({
      podCIDR: Type.Optional(Type.String()),
      podCIDRs: Type.Optional(Type.Array(Type.String())),
      ...ignored('providerID', 'taints', 'unschedulable', 'configSource', 'externalID'),
    }),
  ),
  status: Type.Optional(
    Type.Object({
      addresses: Type.Optional(Type.Array(Type.Object({ type: Type.String(), address: Type.String() }))),
      ...ignored('allocatable', 'capacity', 'conditions', 'config', 'daemonEndpoints', 'features', 'images'),
      ...ignored(
        'nodeInfo',
        'phase',
        'runtimeHandlers',
        'volumesAttached',
        'volumesInUse',
        'declaredFeatures',
      ),
    }),
  ),
});
export type Node = Static<typeof NodeSchema>;
