/** A Service at `lab apply`: gets its cluster addresses, or keeps those it has. Pure. */
import { MeshError } from '../../base/errors.ts';
import { parseIp } from '../../base/ip.ts';
import type { Service } from '../../kube/objects.ts';
import { allocateClusterIps, clusterIps, servedFamilies } from './allocate.ts';

/** @throws MeshError ALREADY_EXISTS when it asks for an address of another Service. */
export function addressService(
  service: Service,
  before: Service | undefined,
  others: readonly Service[],
): Service {
  if (service.spec.clusterIP === 'None') return service;
  const requested = clusterIps(service).map(parseIp);
  refuseTaken(requested, others);
  const kept = before === undefined ? [] : clusterIps(before).map(parseIp);
  const known = requested.length > 0 ? requested : kept;
  const ips = known.length > 0 ? known : servedFamilies(service, allocateClusterIps(others));
  const [clusterIP] = ips;
  return clusterIP === undefined
    ? service
    : { ...service, spec: { ...service.spec, clusterIP, clusterIPs: [...ips] } };
}

function refuseTaken(requested: readonly string[], others: readonly Service[]): void {
  const owner = others.find((other) => clusterIps(other).some((ip) => requested.includes(ip)));
  if (owner === undefined) return;
  const { namespace, name } = owner.metadata;
  throw new MeshError('ALREADY_EXISTS', `its cluster address belongs to service ${namespace}/${name}`, {
    hint: 'leave clusterIP out to get a free one',
  });
}
