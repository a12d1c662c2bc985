/**
 * Services joined with their EndpointSlices, as kube-proxy and cluster DNS need them: each port of any protocol with
 * the addresses that may serve it now. Pure. The mesh has a model of its own (`src/kube/translate`), TCP only.
 */
import { isIpv4, parseIp } from '../../base/ip.ts';
import type { IpAddress } from '../../base/ip.ts';
import type { EndpointSlice, Service } from '../../kube/objects.ts';
import { serviceNameLabel } from '../../kube/objects.ts';
import { clusterIps } from './allocate.ts';

export interface Target {
  readonly ip: IpAddress;
  readonly port: number;
}

export interface TablePort {
  /** Empty for the only port of a Service that has no name. */
  readonly name: string;
  readonly port: number;
  readonly protocol: 'tcp' | 'udp' | 'sctp';
  /** Ready ones; if there is none, those that end but still serve, as kube-proxy does. */
  readonly targets: readonly Target[];
}

export interface TableService {
  readonly namespace: string;
  readonly name: string;
  /** Cluster addresses; empty for a headless Service. */
  readonly vips: readonly IpAddress[];
  readonly ports: readonly TablePort[];
  /** Addresses behind it, whatever the port: what a headless Service resolves to. */
  readonly addresses: readonly IpAddress[];
}

export function serviceTable(services: readonly Service[], slices: readonly EndpointSlice[]): TableService[] {
  const byService = Map.groupBy(slices, (slice) => serviceOf(slice));
  return services.map((service) => {
    const { namespace, name } = service.metadata;
    return tableService(service, byService.get(`${namespace}/${name}`) ?? []);
  });
}

const serviceOf = ({ metadata }: EndpointSlice): string =>
  `${metadata.namespace}/${metadata.labels?.[serviceNameLabel] ?? ''}`;

function tableService(service: Service, slices: readonly EndpointSlice[]): TableService {
  const { namespace, name } = service.metadata;
  const usable = usableSlices(slices);
  return {
    namespace,
    name,
    vips: clusterIps(service).map(parseIp),
    ports: (service.spec.ports ?? []).map((port) => tablePort(port, usable)),
    addresses: [...new Set(usable.flatMap(({ addresses }) => addresses))],
  };
}

interface UsableSlice {
  readonly addresses: readonly IpAddress[];
  readonly ports: NonNullable<EndpointSlice['ports']>;
}

function usableSlices(slices: readonly EndpointSlice[]): readonly UsableSlice[] {
  const known = slices.filter(({ addressType }) => addressType !== 'FQDN');
  return ['IPv4', 'IPv6'].flatMap((family) => {
    const own = known.filter(({ addressType }) => addressType === family);
    const ready = withEndpoints(own, (conditions) => conditions?.ready !== false);
    return ready.length > 0 ? ready : withEndpoints(own, (conditions) => conditions?.serving === true);
  });
}

type Conditions = EndpointSlice['endpoints'][number]['conditions'];

const withEndpoints = (
  slices: readonly EndpointSlice[],
  fits: (conditions: Conditions) => boolean,
): UsableSlice[] =>
  slices
    .map(({ endpoints, ports }) => ({
      addresses: endpoints.filter(({ conditions }) => fits(conditions)).flatMap(firstAddress),
      ports: ports ?? [],
    }))
    .filter(({ addresses }) => addresses.length > 0);

const firstAddress = ({ addresses }: EndpointSlice['endpoints'][number]): IpAddress[] =>
  addresses.slice(0, 1).map(parseIp);

type ServicePort = NonNullable<Service['spec']['ports']>[number];

const protocols = { TCP: 'tcp', UDP: 'udp', SCTP: 'sctp' } as const;

function tablePort(port: ServicePort, slices: readonly UsableSlice[]): TablePort {
  const targets = slices.flatMap(({ addresses, ports }) => {
    const own = ports.find((other) => (other.name ?? '') === (port.name ?? '') && sameProtocol(other, port));
    return own === undefined ? [] : addresses.map((ip) => ({ ip, port: own.port ?? port.port }));
  });
  return { name: port.name ?? '', port: port.port, protocol: protocols[port.protocol ?? 'TCP'], targets };
}

const sameProtocol = (a: Pick<ServicePort, 'protocol'>, b: Pick<ServicePort, 'protocol'>): boolean =>
  (a.protocol ?? 'TCP') === (b.protocol ?? 'TCP');

/** Targets a client of one family can be sent to. */
export const targetsOfFamily = (port: TablePort, ipv4: boolean): readonly Target[] =>
  port.targets.filter(({ ip }) => isIpv4(ip) === ipv4);
