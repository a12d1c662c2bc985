/** What of Kubernetes the lab does not do, said at `lab apply` instead of being overlooked. Pure. */
import { parsePrefix, prefixContains, tryParseIp } from '../../base/ip.ts';
import type { Container, KubeObject, Pod, Service } from '../../kube/objects.ts';
import type { Problem } from '../../kube/problem.ts';
import { serviceCidr4, serviceCidr6 } from '../topology.ts';

/** A problem of an object whose place and name the caller knows. */
export type Fault = Pick<Problem, 'severity' | 'field' | 'message' | 'hint'>;

export const fault = (field: string, message: string, hint?: string): Fault => ({
  severity: 'error',
  field,
  message,
  hint,
});

/** Names become file names, with the kind and the namespace in front. */
const longestName = 150;

export function unsupported(object: KubeObject): readonly Fault[] {
  const { name } = object.metadata;
  const long =
    name.length > longestName
      ? [fault('metadata.name', `a name in the lab has at most ${longestName} characters`)]
      : [];
  return [...long, ...unsupportedOfKind(object)];
}

function unsupportedOfKind(object: KubeObject): readonly Fault[] {
  switch (object.kind) {
    case 'Pod':
      return unsupportedPod(object);
    case 'Service':
      return unsupportedService(object);
    case 'Node':
      return [fault('kind', 'the lab makes its nodes itself', 'lab up --nodes N')];
    case 'Namespace':
    case 'ServiceAccount':
    case 'EndpointSlice':
    case 'AuthorizationPolicy':
    case 'PeerAuthentication':
    case 'NamespaceAccess':
      return [];
  }
}

function unsupportedPod({ spec }: Pod): readonly Fault[] {
  const [container, second] = spec.containers;
  return [
    ...(spec.hostNetwork === true
      ? [fault('spec.hostNetwork', 'the lab has no pods in the host network')]
      : []),
    ...(spec.initContainers === undefined
      ? []
      : [fault('spec.initContainers', 'the lab has no init containers')]),
    ...(second === undefined ? [] : [fault('spec.containers[1]', 'a pod of the lab has one container')]),
    ...(container === undefined ? [] : unsupportedContainer(container)),
  ];
}

function unsupportedContainer(container: Container): readonly Fault[] {
  const at = 'spec.containers[0]';
  const idleImage =
    container.image !== undefined && container.command === undefined && container.args === undefined;
  const idle: Fault = {
    severity: 'warning',
    field: `${at}.image`,
    message: 'images are not run: without a command the pod only holds its place',
    hint: 'command: [mesh-ebpf, lab-app, http]',
  };
  const probe = container.readinessProbe;
  const asked = [probe?.tcpSocket, probe?.httpGet].filter((check) => check !== undefined).length;
  const badProbe = probe !== undefined && asked !== 1;
  return [
    ...(idleImage ? [idle] : []),
    ...(badProbe ? [fault(`${at}.readinessProbe`, 'a probe in the lab is either tcpSocket or httpGet')] : []),
    ...(probe?.httpGet?.scheme === 'HTTPS'
      ? [fault(`${at}.readinessProbe.httpGet.scheme`, 'the lab probes without TLS')]
      : []),
  ];
}

const serviceRanges = [serviceCidr4, serviceCidr6].map(parsePrefix);

function unsupportedService({ spec }: Service): readonly Fault[] {
  const requested = [...(spec.clusterIPs ?? []), ...(spec.clusterIP === undefined ? [] : [spec.clusterIP])];
  const outside = requested.filter((text) => text !== 'None' && text !== '' && !isServiceAddress(text));
  return [
    ...(spec.type === 'ExternalName'
      ? [fault('spec.type', 'the lab has no way out: ExternalName is not served')]
      : []),
    ...(spec.type === 'NodePort' || spec.type === 'LoadBalancer' ? [onlyClusterIp(spec.type)] : []),
    ...outside.map((ip) => fault('spec.clusterIP', `${ip} is not in ${serviceCidr4} or ${serviceCidr6}`)),
  ];
}

const onlyClusterIp = (type: string): Fault => ({
  severity: 'warning',
  field: 'spec.type',
  message: `in the lab a ${type} Service has its cluster address only`,
  hint: undefined,
});

function isServiceAddress(text: string): boolean {
  const ip = tryParseIp(text);
  return ip !== undefined && serviceRanges.some((range) => prefixContains(range, ip));
}
