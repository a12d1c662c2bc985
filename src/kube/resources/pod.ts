/** Pod: the parts the mesh and the lab read. Source of the names: Kubernetes API reference, Pod v1. */
import { type Static, Type } from 'typebox';
import {
  DnsLabel,
  DnsName,
  ignored,
  NamespacedMetadata,
  PortName,
  PortNumber,
  PortReference,
  Protocol,
} from './fields.ts';

const seconds = (minimum: number) => Type.Optional(Type.Integer({ minimum, maximum: 86_400 }));

export const ProbeSchema = Type.Object({
  tcpSocket: Type.Optional(Type.Object({ host: Type.Optional(Type.String()), port: PortReference })),
  httpGet: Type.Optional(
    Type.Object({
      host: Type.Optional(Type.String()),
      path: Type.Optional(Type.String()),
      port: PortReference,
      scheme: Type.Optional(Type.Enum(['HTTP', 'HTTPS'])),
      httpHeaders: Type.Optional(Type.Array(Type.Object({ name: Type.String(), value: Type.String() }))),
    }),
  ),
  exec: Type.Optional(Type.Object({ command: Type.Optional(Type.Array(Type.String())) })),
  initialDelaySeconds: seconds(0),
  periodSeconds: seconds(1),
  timeoutSeconds: seconds(1),
  successThreshold: Type.Optional(Type.Integer({ minimum: 1 })),
  failureThreshold: Type.Optional(Type.Integer({ minimum: 1 })),
  ...ignored('grpc', 'terminationGracePeriodSeconds'),
});
export type Probe = Static<typeof ProbeSchema>;

const EnvironmentVariable = Type.Object({
  name: Type.String({ minLength: 1, pattern: '^[^=\\0]+$', description: 'a variable name' }),
  value: Type.Optional(Type.String()),
  valueFrom: Type.Optional(Type.Unknown()),
});

const ContainerPort = Type.Object({
  name: Type.Optional(PortName),
  containerPort: PortNumber,
  protocol: Type.Optional(Protocol),
  ...ignored('hostPort', 'hostIP'),
});

export const ContainerSchema = Type.Object({
  name: DnsLabel,
  image: Type.Optional(Type.String()),
  command: Type.Optional(Type.Array(Type.String())),
  args: Type.Optional(Type.Array(Type.String())),
  workingDir: Type.Optional(Type.String()),
  env: Type.Optional(Type.Array(EnvironmentVariable)),
  ports: Type.Optional(Type.Array(ContainerPort)),
  readinessProbe: Type.Optional(ProbeSchema),
  restartPolicy: Type.Optional(Type.String()),
  ...ignored('envFrom', 'imagePullPolicy', 'lifecycle', 'livenessProbe', 'resizePolicy', 'resources'),
  ...ignored('restartPolicyRules', 'securityContext', 'startupProbe', 'stdin', 'stdinOnce', 'tty'),
  ...ignored('terminationMessagePath', 'terminationMessagePolicy', 'volumeDevices', 'volumeMounts'),
});
export type Container = Static<typeof ContainerSchema>;

export const PodSpec = Type.Object({
  nodeName: Type.Optional(DnsName),
  serviceAccountName: Type.Optional(DnsName),
  /** The old name of `serviceAccountName`, still set by the API server. */
  serviceAccount: Type.Optional(DnsName),
  hostNetwork: Type.Optional(Type.Boolean()),
  terminationGracePeriodSeconds: seconds(0),
  restartPolicy: Type.Optional(Type.Enum(['Always', 'OnFailure', 'Never'])),
  containers: Type.Array(ContainerSchema, { minItems: 1 }),
  initContainers: Type.Optional(Type.Array(ContainerSchema)),
  ...ignored('activeDeadlineSeconds', 'affinity', 'automountServiceAccountToken', 'dnsConfig', 'dnsPolicy'),
  ...ignored('enableServiceLinks', 'ephemeralContainers', 'hostAliases', 'hostIPC', 'hostPID', 'hostUsers'),
  ...ignored('hostname', 'hostnameOverride', 'imagePullSecrets', 'nodeSelector', 'os', 'overhead'),
  ...ignored('preemptionPolicy', 'priority', 'priorityClassName', 'readinessGates', 'resourceClaims'),
  ...ignored('resources', 'runtimeClassName', 'schedulerName', 'schedulingGates'),
  ...ignored('securityContext', 'setHostnameAsFQDN', 'shareProcessNamespace', 'subdomain', 'tolerations'),
  ...ignored('topologySpreadConstraints', 'volumes', 'workloadRef'),
});

export const PodStatus = Type.Object({
  phase: Type.Optional(Type.Enum(['Pending', 'Running', 'Succeeded', 'Failed', 'Unknown'])),
  podIP: Type.Optional(Type.String()),
  podIPs: Type.Optional(Type.Array(Type.Object({ ip: Type.String() }))),
  hostIP: Type.Optional(Type.String()),
  /** Why the pod is in its phase: a word for programs and a sentence for people. */
  reason: Type.Optional(Type.String()),
  message: Type.Optional(Type.String()),
  containerStatuses: Type.Optional(
    Type.Array(
      Type.Object({
        name: Type.String(),
        ready: Type.Boolean(),
        restartCount: Type.Integer({ minimum: 0 }),
        ...ignored('allocatedResources', 'allocatedResourcesStatus', 'containerID', 'image', 'imageID'),
        ...ignored('lastState', 'resources', 'started', 'state', 'stopSignal', 'user', 'volumeMounts'),
      }),
    ),
  ),
  conditions: Type.Optional(
    Type.Array(
      Type.Object({
        type: Type.String(),
        status: Type.Enum(['True', 'False', 'Unknown']),
        ...ignored('lastProbeTime', 'lastTransitionTime', 'message', 'observedGeneration', 'reason'),
      }),
    ),
  ),
  ...ignored('ephemeralContainerStatuses', 'extendedResourceClaimStatus', 'hostIPs'),
  ...ignored('initContainerStatuses', 'nominatedNodeName', 'observedGeneration', 'qosClass'),
  ...ignored('resize', 'resourceClaimStatuses', 'startTime', 'allocatedResources', 'resources'),
});

export const PodSchema = Type.Object({
  apiVersion: Type.Literal('v1'),
  kind: Type.Literal('Pod'),
  metadata: NamespacedMetadata,
  spec: PodSpec,
  status: Type.Optional(PodStatus),
});
export type Pod = Static<typeof PodSchema>;
