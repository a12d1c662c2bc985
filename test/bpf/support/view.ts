/** A mesh of a few pods and one Service, as the datapath sees it. */
import type { IpAddress } from '../../../src/base/ip.ts';
import { parseIp } from '../../../src/base/ip.ts';
import type { Service, Workload } from '../../../src/model/mesh.ts';
import type { MeshView } from '../../../src/model/view.ts';

interface Addressed {
  readonly name: string;
  readonly ip4: IpAddress;
  readonly ip6: IpAddress;
}

/** The pods take HBONE; a Service with `vips` stands before all of them. Only what the datapath reads is there. */
export function meshView({ meshed, vips }: { meshed: readonly Addressed[]; vips: readonly string[] }): MeshView {
  const workloads = meshed.map((pod) => ({
    uid: `uid-${pod.name}`,
    namespace: 'test',
    name: pod.name,
    addresses: [pod.ip4, pod.ip6],
    protocol: 'hbone',
    hostNetwork: false,
  })) as unknown as Workload[];
  const service = {
    key: 'test/web',
    namespace: 'test',
    name: 'web',
    vips: vips.map(parseIp),
    endpoints: meshed.map((pod) => ({ address: pod.ip4 })),
  } as unknown as Service;
  return {
    version: 1,
    config: { trustDomain: 'td', clusterDomain: 'cluster.local', clusterId: 'c' },
    workloads: new Map(workloads.map((workload) => [workload.uid, workload])),
    services: new Map([[service.key, service]]),
    policies: new Map(),
    workloadByIp: (ip) => workloads.find((workload) => workload.addresses.includes(ip)),
    serviceByVip: (ip) => (service.vips.includes(ip) ? service : undefined),
    servicesOfEndpoint: (ip) => (service.endpoints.some((e) => e.address === ip) ? [service] : []),
  } as unknown as MeshView;
}
