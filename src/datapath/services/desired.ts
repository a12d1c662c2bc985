/**
 * The wanted contents of the `services` and `endpoints` maps as a pure function of the mesh: among how many endpoints
 * chance decides where a pod of this node dials a Service, and which of them the kernel carries by itself. By the same
 * rules as ztunnel's own choice, of which it takes a part over. Only Services with an endpoint on the kernel path are in
 * it, and of these only such endpoints: it is as big as what runs on the node, not as the mesh.
 */
import type { IpAddress, SocketAddress } from '../../base/ip.ts';
import { meshPorts } from '../../base/ports.ts';
import { isKnown, targetOf, usableEndpoints } from '../../model/endpoint-choice.ts';
import type { Service, Workload } from '../../model/mesh.ts';
import type { MeshDiff, MeshView } from '../../model/view.ts';
import { isOnKernelPath, type KernelPathScope } from '../desired.ts';

/** What a pod of this node may get at one port of a Service's address, each endpoint as likely as the other. */
export interface ServiceChoice {
  readonly dialled: SocketAddress;
  /** Those that take the kernel path; never empty. */
  readonly kernel: readonly SocketAddress[];
  /** With sessions, of which ztunnel chooses where they begin, only these: what becomes of others ends none of them. */
  readonly total: number;
  /** Some are outside the mesh, which not every pod may leave. */
  readonly leaves: boolean;
  /** How long a client keeps its endpoint after its last connection; undefined: each connection is drawn anew. */
  readonly sessionMs: number | undefined;
}

/** By the Service's address; none without choices. */
export type ServiceChoices = ReadonlyMap<IpAddress, readonly ServiceChoice[]>;

/** None: whoever dials there is captured, and ztunnel chooses. */
export function choicesAt(
  view: MeshView,
  ip: IpAddress,
  scope: KernelPathScope | undefined,
): readonly ServiceChoice[] {
  const service = view.serviceByVip(ip);
  if (scope === undefined || service === undefined) return [];
  if (!service.endpoints.some(({ address }) => isOnKernelPath(view, address, scope))) return [];
  const known = { ...service, endpoints: service.endpoints.filter((endpoint) => isKnown(view, endpoint)) };
  return service.ports
    .filter(({ protocol }) => protocol === 'tcp')
    .flatMap(({ port }) => choiceOf(view, known, { ip, port }, scope) ?? []);
}

function choiceOf(
  view: MeshView,
  service: Service,
  dialled: SocketAddress,
  scope: KernelPathScope,
): ServiceChoice | undefined {
  const from = { node: scope.node, zone: view.nodes.get(scope.node)?.zone };
  // Each of them serves the port.
  const usable = usableEndpoints(service, dialled, from);
  const kernel = usable
    .filter(({ address }) => isOnKernelPath(view, address, scope))
    .flatMap((endpoint) => targetOf(endpoint, dialled.port) ?? [])
    .filter((target) => isKernelTarget(view, target, scope));
  if (kernel.length === 0) return undefined;
  const { affinityTimeoutMs: sessionMs } = service;
  if (sessionMs !== undefined) return { dialled, kernel, total: kernel.length, leaves: false, sessionMs };
  const leaves = usable.some(({ address }) => view.workloadByIp(address)?.protocol !== 'hbone');
  return { dialled, kernel, total: usable.length, leaves, sessionMs };
}

/** Whether the kernel may carry connections there, as the connect hook has it. */
export const isKernelTarget = (
  view: MeshView,
  { ip, port }: SocketAddress,
  scope: KernelPathScope | undefined,
): boolean => !meshPorts.has(port) && isOnKernelPath(view, ip, scope);

export function desiredChoices(view: MeshView, scope: KernelPathScope | undefined): ServiceChoices {
  const addresses = new Set([...view.services.values()].flatMap(({ vips }) => vips));
  const choices = [...addresses].map((ip) => [ip, choicesAt(view, ip, scope)] as const);
  return new Map(choices.filter(([, { length }]) => length > 0));
}

/**
 * Addresses at which choices may be others after `diff`, which led to `view`: those of Services that changed, or whose
 * endpoints did, and of those in turn that have such an address for an endpoint. An endpoint at an address that its pod
 * does not have is found by its Service's change only, or when everything is computed anew.
 */
export function touchedServices(view: MeshView, diff: MeshDiff): Set<IpAddress> {
  const touched = new Set<IpAddress>();
  const touch = (vips: readonly IpAddress[]): void => {
    for (const vip of vips) {
      touched.add(vip);
      for (const behind of view.servicesOfEndpoint(vip)) behind.vips.forEach((other) => touched.add(other));
    }
  };
  for (const { before, after } of diff.workloads) {
    if (isAlike(before, after)) continue;
    for (const ip of [...(before?.addresses ?? []), ...(after?.addresses ?? [])]) {
      for (const { vips } of view.servicesOfEndpoint(ip)) touch(vips);
    }
  }
  for (const { before, after } of diff.services) touch([...(before?.vips ?? []), ...(after?.vips ?? [])]);
  return touched;
}

/** In all that choices are made of: a Service of many pods is not looked through for a label of one. */
const isAlike = (before: Workload | undefined, after: Workload | undefined): boolean =>
  before !== undefined &&
  after !== undefined &&
  before.protocol === after.protocol &&
  before.node === after.node &&
  before.sameNode === after.sameNode &&
  before.hostNetwork === after.hostNetwork &&
  before.terminating === after.terminating &&
  before.addresses.length === after.addresses.length &&
  before.addresses.every((ip, i) => ip === after.addresses[i]);
