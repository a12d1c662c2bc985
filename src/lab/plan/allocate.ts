/**
 * Which addresses a new pod or Service gets. Pure. Pod addresses go round (as Kubernetes' host-local IPAM does), so
 * that an address does not come back at once with another pod behind it.
 */
import { MeshError } from '../../base/errors.ts';
import { isIpv4 } from '../../base/ip.ts';
import type { IpAddress } from '../../base/ip.ts';
import type { Pod, Service } from '../../kube/objects.ts';
import { podHosts, podIps, serviceHosts, serviceIps } from '../topology.ts';
import type { LabNode } from '../topology.ts';

/** The last host number given out on each node: where the search for the next one goes on. */
export type Leases = Readonly<Record<string, number>>;

/** The first free host number after `last`, going round. undefined when all are taken. */
export function nextHost(
  range: { readonly first: number; readonly last: number },
  last: number,
  isTaken: (host: number) => boolean,
): number | undefined {
  const size = range.last - range.first + 1;
  const start = last < range.first ? range.first : last + 1;
  for (let i = 0; i < size; i++) {
    const host = range.first + ((start - range.first + i) % size);
    if (!isTaken(host)) return host;
  }
  return undefined;
}

/** @throws MeshError OVERLOADED when the node has no address left. */
export function allocatePodIps(
  node: LabNode,
  pods: Iterable<Pod>,
  last: number,
): { readonly host: number; readonly ips: readonly [IpAddress, IpAddress] } {
  const taken = new Set([...pods].flatMap((pod) => pod.status?.podIPs ?? []).map(({ ip }) => ip));
  const host = nextHost(podHosts, last, (candidate) => taken.has(podIps(node, candidate)[0]));
  if (host === undefined) {
    throw new MeshError(
      'OVERLOADED',
      `${node.name} has no free pod address: all of ${node.podCidr4} are used`,
      {
        hint: 'delete pods, or start the lab with more --nodes',
      },
    );
  }
  return { host, ips: podIps(node, host) };
}

/** A free pair of cluster addresses; the lowest, so that a lab started twice from the same files looks the same. */
export function allocateClusterIps(services: Iterable<Service>): readonly IpAddress[] {
  const taken = new Set([...services].flatMap(clusterIps));
  const host = nextHost(serviceHosts, 0, (candidate) => serviceIps(candidate).some((ip) => taken.has(ip)));
  if (host === undefined) throw new MeshError('OVERLOADED', 'no cluster address is free');
  return serviceIps(host);
}

export const clusterIps = (service: Service): readonly string[] =>
  (service.spec.clusterIPs ?? [service.spec.clusterIP ?? '']).filter((ip) => ip !== '' && ip !== 'None');

/** The families a Service asks for: both unless its manifest says otherwise. */
export function servedFamilies(service: Service, ips: readonly IpAddress[]): readonly IpAddress[] {
  const wanted =
    service.spec.ipFamilies ?? (service.spec.ipFamilyPolicy === 'SingleStack' ? ['IPv4'] : ['IPv4', 'IPv6']);
  const both = service.spec.ipFamilyPolicy !== undefined && service.spec.ipFamilyPolicy !== 'SingleStack';
  const families = both ? [...new Set([...wanted, 'IPv4', 'IPv6'])] : wanted;
  return families.flatMap((family) => ips.filter((ip) => isIpv4(ip) === (family === 'IPv4')));
}
