/** Service and EndpointSlice: the parts that are read. Source of the names: Kubernetes API reference. */
import { type Static, Type } from 'typebox';
import {
  DnsLabel,
  ignored,
  Labels,
  NamespacedMetadata,
  PortNumber,
  PortReference,
  Protocol,
} from './fields.ts';

const IpFamily = Type.Enum(['IPv4', 'IPv6']);

const ServicePort = Type.Object({
  name: Type.Optional(DnsLabel),
  port: PortNumber,
  targetPort: Type.Optional(PortReference),
  protocol: Type.Optional(Protocol),
  ...ignored('appProtocol', 'nodePort'),
});

const seconds = (maximum: number) => Type.Integer({ minimum: 1, maximum });

const ServiceSpec = Type.Object({
  type: Type.Optional(Type.Enum(['ClusterIP', 'NodePort', 'LoadBalancer', 'ExternalName'])),
  /** An address, or `None` for a headless Service. */
  clusterIP: Type.Optional(Type.String()),
  clusterIPs: Type.Optional(Type.Array(Type.String(), { maxItems: 2 })),
  ipFamilies: Type.Optional(Type.Array(IpFamily, { maxItems: 2 })),
  ipFamilyPolicy: Type.Optional(Type.Enum(['SingleStack', 'PreferDualStack', 'RequireDualStack'])),
  selector: Type.Optional(Labels),
  ports: Type.Optional(Type.Array(ServicePort)),
  publishNotReadyAddresses: Type.Optional(Type.Boolean()),
  externalName: Type.Optional(Type.String()),
  internalTrafficPolicy: Type.Optional(Type.Enum(['Cluster', 'Local'])),
  sessionAffinity: Type.Optional(Type.Enum(['None', 'ClientIP'])),
  sessionAffinityConfig: Type.Optional(
    Type.Object({
      clientIP: Type.Optional(Type.Object({ timeoutSeconds: Type.Optional(seconds(86_400)) })),
    }),
  ),
  ...ignored('allocateLoadBalancerNodePorts', 'externalIPs', 'externalTrafficPolicy', 'healthCheckNodePort'),
  ...ignored('loadBalancerClass', 'loadBalancerIP', 'loadBalancerSourceRanges'),
  /** Acted upon by whoever writes the slices: what follows from it are their hints. */
  ...ignored('trafficDistribution'),
});

export const ServiceSchema = Type.Object({
  apiVersion: Type.Literal('v1'),
  kind: Type.Literal('Service'),
  metadata: NamespacedMetadata,
  spec: ServiceSpec,
  ...ignored('status'),
});
export type Service = Static<typeof ServiceSchema>;

/** The label by which a slice names its Service (Kubernetes `discovery.k8s.io`). */
export const serviceNameLabel = 'kubernetes.io/service-name';

const HintedFor = Type.Optional(Type.Array(Type.Object({ name: Type.String() })));

const SliceEndpoint = Type.Object({
  addresses: Type.Array(Type.String(), { minItems: 1, maxItems: 100 }),
  conditions: Type.Optional(
    Type.Object({
      ready: Type.Optional(Type.Boolean()),
      serving: Type.Optional(Type.Boolean()),
      terminating: Type.Optional(Type.Boolean()),
    }),
  ),
  nodeName: Type.Optional(Type.String()),
  /** Whose clients shall use it, as the writer of the slice decided. */
  hints: Type.Optional(Type.Object({ forZones: HintedFor, forNodes: HintedFor })),
  targetRef: Type.Optional(
    Type.Object({
      kind: Type.Optional(Type.String()),
      namespace: Type.Optional(Type.String()),
      name: Type.Optional(Type.String()),
      uid: Type.Optional(Type.String()),
      ...ignored('apiVersion', 'fieldPath', 'resourceVersion'),
    }),
  ),
  ...ignored('deprecatedTopology', 'hostname', 'zone'),
});

const SlicePort = Type.Object({
  /** Absent or empty for the only port of a Service that has no name. */
  name: Type.Optional(Type.String()),
  /** Absent: every port (not produced by Kubernetes' own controller). */
  port: Type.Optional(PortNumber),
  protocol: Type.Optional(Protocol),
  ...ignored('appProtocol'),
});

export const EndpointSliceSchema = Type.Object({
  apiVersion: Type.Literal('discovery.k8s.io/v1'),
  kind: Type.Literal('EndpointSlice'),
  metadata: NamespacedMetadata,
  addressType: Type.Enum(['IPv4', 'IPv6', 'FQDN']),
  endpoints: Type.Array(SliceEndpoint, { maxItems: 1000 }),
  ports: Type.Optional(Type.Array(SlicePort, { maxItems: 100 })),
});
export type EndpointSlice = Static<typeof EndpointSliceSchema>;
