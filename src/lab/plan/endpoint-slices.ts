/**
 * The EndpointSlices one node contributes: for each Service its own pods behind it, a slice a family and a set of
 * ports. Pure. Each kubelet writes those of its node, so no two processes ever write one object.
 */
import { isIpv4, parseIp } from '../../base/ip.ts';
import type { EndpointSlice, Pod, Service } from '../../kube/objects.ts';
import { serviceNameLabel } from '../../kube/objects.ts';
import { isPodReady } from './pod-status.ts';

type SlicePorts = NonNullable<EndpointSlice['ports']>;
type SliceEndpoint = EndpointSlice['endpoints'][number];

export function endpointSlices(
  node: string,
  services: readonly Service[],
  pods: readonly Pod[],
): EndpointSlice[] {
  const local = pods.filter((pod) => pod.spec.nodeName === node && isEndpoint(pod));
  return services.flatMap((service) => slicesOf(service, node, local));
}

/** A finished pod keeps its address but serves nothing. */
const isEndpoint = (pod: Pod): boolean =>
  pod.status?.podIPs !== undefined && pod.status.phase !== 'Succeeded' && pod.status.phase !== 'Failed';

function slicesOf(service: Service, node: string, pods: readonly Pod[]): EndpointSlice[] {
  const { namespace } = service.metadata;
  const behind = pods.filter((pod) => pod.metadata.namespace === namespace && isSelected(service, pod));
  // Pods that name their ports differently need slices of their own: a slice has one list of ports.
  const groups = Map.groupBy(behind, (pod) => JSON.stringify(portsOn(service, pod)));
  return [...groups.values()].flatMap((group, i) =>
    sliceFamilies(service, `${node}${i === 0 ? '' : `-${i + 1}`}`, group),
  );
}

/** A Service without a selector has the endpoints that somebody wrote by hand. */
function isSelected(service: Service, pod: Pod): boolean {
  const wanted = Object.entries(service.spec.selector ?? {});
  return wanted.length > 0 && wanted.every(([name, value]) => pod.metadata.labels?.[name] === value);
}

function sliceFamilies(service: Service, suffix: string, pods: readonly Pod[]): EndpointSlice[] {
  const [first] = pods;
  if (first === undefined) return [];
  const ports = portsOn(service, first);
  return (['IPv4', 'IPv6'] as const).flatMap((family) => {
    const endpoints = pods.flatMap((pod) => endpointOf(service, pod, family));
    if (endpoints.length === 0) return [];
    return [
      {
        apiVersion: 'discovery.k8s.io/v1' as const,
        kind: 'EndpointSlice' as const,
        metadata: {
          name: `${service.metadata.name}-${suffix}${family === 'IPv4' ? '' : '-v6'}`,
          namespace: service.metadata.namespace,
          labels: { [serviceNameLabel]: service.metadata.name },
        },
        addressType: family,
        endpoints,
        ports,
      },
    ];
  });
}

function endpointOf(service: Service, pod: Pod, family: 'IPv4' | 'IPv6'): SliceEndpoint[] {
  const address = pod.status?.podIPs?.find(({ ip }) => isIpv4(parseIp(ip)) === (family === 'IPv4'))?.ip;
  if (address === undefined) return [];
  const serving = isPodReady(pod);
  const terminating = pod.metadata.deletionTimestamp !== undefined;
  const ready = service.spec.publishNotReadyAddresses === true || (serving && !terminating);
  const { name, namespace, uid } = pod.metadata;
  return [
    {
      addresses: [address],
      conditions: { ready, serving, terminating },
      ...(pod.spec.nodeName === undefined ? {} : { nodeName: pod.spec.nodeName }),
      targetRef: { kind: 'Pod', namespace, name, ...(uid === undefined ? {} : { uid }) },
    },
  ];
}

/** The Service's ports as this pod serves them; a port named after one the pod does not have is left out. */
function portsOn(service: Service, pod: Pod): SlicePorts {
  return (service.spec.ports ?? []).flatMap((port) => {
    const target = port.targetPort ?? port.port;
    const number = typeof target === 'number' ? target : containerPort(pod, target);
    if (number === undefined) return [];
    return [
      {
        ...(port.name === undefined ? {} : { name: port.name }),
        port: number,
        protocol: port.protocol ?? 'TCP',
      },
    ];
  });
}

export const containerPort = (pod: Pod, name: string): number | undefined =>
  pod.spec.containers.flatMap((container) => container.ports ?? []).find((port) => port.name === name)
    ?.containerPort;
