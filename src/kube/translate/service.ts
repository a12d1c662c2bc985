/**
 * Service and its EndpointSlices → service. Pure. Endpoints come from slices alone, never from the selector: who is
 * behind a Service is decided by whoever writes the slices (Kubernetes' controller, or the lab).
 */
import { type IpAddress, type Port, parsePort, tryParseIp } from '../../base/ip.ts';
import {
  type Endpoint,
  type MeshConfig,
  type NodeName,
  type Service,
  serviceKey,
  type ServicePort,
  type TopologyHints,
  type WorkloadUid,
} from '../../model/mesh.ts';
import type { EndpointSlice, Service as KubeService, SourcedObject } from '../objects.ts';
import type { Problem } from '../problem.ts';
import { objectProblem } from './problem.ts';

/** `service` is undefined for an ExternalName, which is a DNS alias and nothing else, and if there are problems. */
export interface TranslatedService {
  readonly service: Service | undefined;
  readonly problems: readonly Problem[];
}

/** `slices` are those of this Service, in any order. */
export function translateService(
  sourced: SourcedObject<KubeService>,
  slices: readonly SourcedObject<EndpointSlice>[],
  config: MeshConfig,
): TranslatedService {
  const { metadata, spec } = sourced.object;
  if (spec.type === 'ExternalName') return { service: undefined, problems: [] };
  const given = givenVips(spec);
  const vips = given.map(tryParseIp).filter((ip): ip is IpAddress => ip !== undefined);
  const ports = (spec.ports ?? []).map(servicePort);
  const problems = portProblems(sourced, ports);
  if (vips.length < given.length) {
    problems.push(objectProblem(sourced, 'spec.clusterIPs', 'expected IP addresses or None'));
  }
  if (problems.length > 0) return { service: undefined, problems };
  const { namespace, name } = metadata;
  const { endpoints, problems: warnings } = endpointsOf(slices, ports);
  const hostname = `${name}.${namespace}.svc.${config.clusterDomain}`;
  const service = {
    key: serviceKey(namespace, name),
    namespace,
    name,
    hostname,
    vips,
    ports,
    endpoints,
    ...trafficRules(spec),
  };
  return { service, problems: warnings };
}

const givenVips = ({ clusterIP, clusterIPs }: KubeService['spec']): readonly string[] =>
  [...new Set(clusterIPs ?? [clusterIP ?? ''])].filter((ip) => ip !== '' && ip !== 'None');

/** Kubernetes fills the timeout in; a manifest that somebody wrote may leave it out. */
const defaultAffinitySeconds = 10_800;

function trafficRules({
  internalTrafficPolicy,
  sessionAffinity,
  sessionAffinityConfig,
}: KubeService['spec']): Pick<Service, 'nodeLocal' | 'affinityTimeoutMs'> {
  const { timeoutSeconds = defaultAffinitySeconds } = sessionAffinityConfig?.clientIP ?? {};
  return {
    ...(internalTrafficPolicy === 'Local' ? { nodeLocal: true } : {}),
    ...(sessionAffinity === 'ClientIP' ? { affinityTimeoutMs: timeoutSeconds * 1000 } : {}),
  };
}

const protocols = { TCP: 'tcp', UDP: 'udp', SCTP: 'sctp' } as const;

const servicePort = ({ name = '', port, protocol = 'TCP' }: PortOfService): ServicePort => ({
  name,
  port: parsePort(port),
  protocol: protocols[protocol],
});

type PortOfService = NonNullable<KubeService['spec']['ports']>[number];

/** Kubernetes' own rules: names are unique and given if there are several; number and protocol are unique. */
function portProblems(sourced: SourcedObject<KubeService>, ports: readonly ServicePort[]): Problem[] {
  return ports.flatMap((port, i) => {
    const others = ports.slice(0, i);
    const at = `spec.ports[${i}]`;
    if (others.some(({ name }) => name === port.name)) {
      const message =
        port.name === '' ? 'needed when there are several ports' : `"${port.name}" is taken already`;
      return [objectProblem(sourced, `${at}.name`, message)];
    }
    const taken = others.some((other) => other.port === port.port && other.protocol === port.protocol);
    return taken ? [objectProblem(sourced, `${at}.port`, `${port.port} is taken already`)] : [];
  });
}

interface SliceEndpoints {
  readonly endpoints: readonly Endpoint[];
  readonly problems: readonly Problem[];
}

function endpointsOf(
  slices: readonly SourcedObject<EndpointSlice>[],
  servicePorts: readonly ServicePort[],
): SliceEndpoints {
  const byAddress = new Map<IpAddress, readonly Endpoint[]>();
  const problems: Problem[] = [];
  for (const slice of slices.toSorted(byName)) {
    // Domain names as endpoints are deprecated, and nothing can be dialled by them here.
    if (slice.object.addressType === 'FQDN') continue;
    const ports = targetPorts(slice.object, servicePorts);
    for (const [i, given] of slice.object.endpoints.entries()) {
      const endpoint = endpointOf(given, ports);
      if (endpoint === undefined) {
        const message = `expected an IP address, found "${given.addresses[0]?.slice(0, 80)}"`;
        problems.push(objectProblem(slice, `endpoints[${i}].addresses[0]`, message));
      } else {
        byAddress.set(endpoint.address, withEndpoint(byAddress.get(endpoint.address) ?? [], endpoint));
      }
    }
  }
  return { endpoints: [...byAddress.values()].flat(), problems };
}

const byName = (a: SourcedObject<EndpointSlice>, b: SourcedObject<EndpointSlice>): number =>
  a.object.metadata.name < b.object.metadata.name ? -1 : 1;

/** Slice ports are joined to Service ports by name: a targetPort name may mean another number in each slice. */
function targetPorts(slice: EndpointSlice, servicePorts: readonly ServicePort[]): ReadonlyMap<Port, Port> {
  const targets = new Map<Port, Port>();
  for (const { name, port, protocol } of servicePorts) {
    if (protocol !== 'tcp') continue;
    const target = slice.ports?.find(
      (candidate) => (candidate.name ?? '') === name && (candidate.protocol ?? 'TCP') === 'TCP',
    );
    // A slice port without a number stands for every port.
    if (target !== undefined) targets.set(port, target.port === undefined ? port : parsePort(target.port));
  }
  return targets;
}

type SliceEndpoint = EndpointSlice['endpoints'][number];

/** The first address alone: the API says the others are the same endpoint, and kube-proxy reads no other. */
function endpointOf(
  { addresses, conditions = {}, nodeName, targetRef, hints }: SliceEndpoint,
  ports: Endpoint['ports'],
): Endpoint | undefined {
  const address = tryParseIp(addresses[0] ?? '');
  if (address === undefined) return undefined;
  const pod = targetRef?.kind === 'Pod' ? targetRef.uid : undefined;
  return {
    address,
    ports,
    // The API: what is not said of the first two is true, of the third false.
    ready: conditions.ready !== false,
    serving: conditions.serving !== false,
    terminating: conditions.terminating === true,
    ...(pod === undefined ? {} : { pod: pod as WorkloadUid }),
    ...(nodeName === undefined ? {} : { node: nodeName as NodeName }),
    ...(hints === undefined ? {} : { hints: topologyHints(hints) }),
  };
}

const topologyHints = ({ forZones, forNodes }: NonNullable<SliceEndpoint['hints']>): TopologyHints => ({
  zones: (forZones ?? []).map(({ name }) => name),
  nodes: (forNodes ?? []).map(({ name }) => name),
});

/**
 * One address in two slices: its ports may be spread over them, or it is just being moved between them. Where both have
 * a target for one port, and different ones, they are two servers at one address.
 */
function withEndpoint(known: readonly Endpoint[], endpoint: Endpoint): readonly Endpoint[] {
  const same = known.find(({ ports }) =>
    [...ports].every(([port, target]) => (endpoint.ports.get(port) ?? target) === target),
  );
  if (same === undefined) return [...known, endpoint];
  return known.map((other) => (other === same ? merged(same, endpoint) : other));
}

/** What only one of them can say is what the one says that stays. */
const merged = (known: Endpoint, endpoint: Endpoint): Endpoint => ({
  ...known,
  ...endpoint,
  ...(endpoint.terminating ? known : {}),
  ports: new Map([...known.ports, ...endpoint.ports]),
  ready: known.ready || endpoint.ready,
  serving: known.serving || endpoint.serving,
  terminating: known.terminating && endpoint.terminating,
});
