/** The addresses that an egress rule's target stands for, in one version of the mesh. Pure. */
import type { IpAddress } from '../base/ip.ts';
import { prefixContains } from '../base/ip.ts';
import type { EgressTarget } from '../model/access.ts';
import type { Service } from '../model/mesh.ts';
import type { MeshView } from '../model/view.ts';

/** Whether it covers the address. Costs a look-up, whatever the target's size. */
export function targetCovers(view: MeshView, target: EgressTarget, ip: IpAddress): boolean {
  switch (target.type) {
    case 'cidr':
      return prefixContains(target.prefix, ip) && !target.except.some((prefix) => prefixContains(prefix, ip));
    case 'service': {
      const service = view.services.get(target.service);
      return service !== undefined && addressesOf(service).includes(ip);
    }
    case 'namespace':
      return (
        view.serviceByVip(ip)?.namespace === target.namespace ||
        view.workloadByIp(ip)?.namespace === target.namespace
      );
  }
}

/** All of its addresses, each once; of a namespace at the cost of a look at every workload. */
export function targetAddresses(
  view: MeshView,
  target: Exclude<EgressTarget, { readonly type: 'cidr' }>,
): ReadonlySet<IpAddress> {
  if (target.type === 'service') {
    const service = view.services.get(target.service);
    return new Set(service === undefined ? [] : addressesOf(service));
  }
  const found = new Set<IpAddress>();
  for (const { namespace, vips } of view.services.values()) {
    if (namespace === target.namespace) vips.forEach((ip) => found.add(ip));
  }
  for (const { namespace, addresses } of view.workloads.values()) {
    if (namespace === target.namespace) addresses.forEach((ip) => found.add(ip));
  }
  // An address that another one has taken over, or that is the node's, is not the namespace's.
  for (const ip of found) if (!targetCovers(view, target, ip)) found.delete(ip);
  return found;
}

const addressesOf = ({ vips, endpoints }: Service): readonly IpAddress[] =>
  vips.length > 0 ? vips : endpoints.map(({ address }) => address);
