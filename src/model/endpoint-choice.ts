/**
 * Which endpoints of a Service a client may use, by kube-proxy's rules (Kubernetes 1.36, `pkg/proxy/topology.go`): in
 * the mesh a pod is answered by those that would answer it without. Pure.
 */
import { type IpAddress, isIpv4, type Port, type SocketAddress } from '../base/ip.ts';
import type { Endpoint, NodeName, Service, TopologyHints, Workload } from './mesh.ts';
import type { MeshView } from './view.ts';

/** Where the client is. */
export interface Vantage {
  readonly node: NodeName;
  readonly zone: string | undefined;
}

export const vantageOf = (view: MeshView, { node }: Workload): Vantage => ({
  node,
  zone: view.nodes.get(node)?.zone,
});

/** `dialled` is one of the Service's addresses and ports; endpoints are of its family. */
export function usableEndpoints(
  service: Service,
  { ip, port }: SocketAddress,
  from: Vantage,
): readonly Endpoint[] {
  const offered = service.endpoints.filter(
    ({ address, ports }) => isIpv4(address) === isIpv4(ip) && ports.has(port),
  );
  return service.nodeLocal === true
    ? takers(offered.filter(({ node }) => node === from.node))
    : nearest(takers(offered), from);
}

/** What is known of endpoints from dialling them. */
export interface DialHistory {
  /** By this connection: not tried again. */
  readonly tried: ReadonlySet<IpAddress>;
  /** It failed some other connection just now: tried when no other is left. */
  readonly isSuspect: (ip: IpAddress) => boolean;
}

/** The best that are left: as if those tried already were not there, and without those that are suspect if others are. */
export function endpointsToTry(
  view: MeshView,
  service: Service,
  dialled: SocketAddress,
  from: Vantage,
  { tried, isSuspect }: DialHistory,
): readonly Endpoint[] {
  const left = service.endpoints.filter(
    (endpoint) => isKnown(view, endpoint) && !tried.has(endpoint.address),
  );
  const usable = usableEndpoints({ ...service, endpoints: left }, dialled, from);
  const trusted = usable.filter(({ address }) => !isSuspect(address));
  return trusted.length > 0 ? trusted : usable;
}

/**
 * A pod the model does not know (yet, or any more) might be in the mesh: it must not be dialled in plaintext. Nor must one of
 * the mesh at an address that is not known to be its own, where it would pass for nobody's, or for another pod's that had
 * it: after its node's reboot a pod has a new one, which endpoints may tell before the pod does.
 */
export function isKnown(view: MeshView, { pod, address }: Endpoint): boolean {
  if (pod === undefined) return true;
  const workload = view.workloads.get(pod);
  if (workload?.protocol !== 'hbone' || workload.hostNetwork) return workload !== undefined;
  return view.workloadByIp(address)?.uid === pod;
}

/** Where the endpoint serves a port of its Service; undefined: it does not. */
export function targetOf({ address, ports }: Endpoint, port: Port): SocketAddress | undefined {
  const target = ports.get(port);
  return target === undefined ? undefined : { ip: address, port: target };
}

/** Those that are ready; those that leave and still serve only when no other is left. */
function takers(endpoints: readonly Endpoint[]): readonly Endpoint[] {
  const ready = endpoints.filter((endpoint) => endpoint.ready);
  return ready.length > 0 ? ready : endpoints.filter(({ serving, terminating }) => serving && terminating);
}

/** Of the client's node, else of its zone, where whoever wrote the endpoints said so of each; else all of them. */
function nearest(endpoints: readonly Endpoint[], { node, zone }: Vantage): readonly Endpoint[] {
  // Hints are for when there is a choice, not for last resorts.
  if (endpoints.some(({ ready }) => !ready)) return endpoints;
  const ofNode = hintedFor(node, endpoints, ({ nodes }) => nodes);
  if (ofNode.length > 0) return ofNode;
  const ofZone = zone === undefined ? [] : hintedFor(zone, endpoints, ({ zones }) => zones);
  return ofZone.length > 0 ? ofZone : endpoints;
}

/** Hints count only if every endpoint has one: a writer who is half-way through would leave the rest unused. */
function hintedFor(
  place: string,
  endpoints: readonly Endpoint[],
  placesIn: (hints: TopologyHints) => readonly string[],
): readonly Endpoint[] {
  const placesOf = ({ hints }: Endpoint): readonly string[] => (hints === undefined ? [] : placesIn(hints));
  if (endpoints.some((endpoint) => placesOf(endpoint).length === 0)) return [];
  return endpoints.filter((endpoint) => placesOf(endpoint).includes(place));
}
