/**
 * The wanted contents of the `destinations` map as a pure function of the mesh: which addresses enrolled pods must
 * reach through ztunnel. Everything follows from `destinationAt`, asked per address; a full computation asks for all
 * addresses of the mesh, an incremental one for those a diff touches, so the two cannot disagree and a change in a
 * mesh of 100 000 workloads costs what it touches.
 */
import type { IpAddress } from '../base/ip.ts';
import type { Endpoint, NodeName, Service, Workload } from '../model/mesh.ts';
import type { MeshDiff, MeshView } from '../model/view.ts';
import { type Destination, fitLabel } from './abi/layout.ts';

/** Whose pods take the kernel path among themselves; where there is none, nobody's do. */
export interface KernelPathScope {
  readonly node: NodeName;
  /** Which of these connections are accelerated, if any: of pods that ask for it, or of all that do not object. */
  readonly accelerate?: 'auto' | 'forced';
  /** How many connections one pod may have there; undefined: a share of what there is room for. */
  readonly connectionsPerPod?: number;
}

/** What the map shall say about one address; undefined: nothing, it is outside the mesh. */
export function destinationAt(
  view: MeshView,
  ip: IpAddress,
  kernelPath?: KernelPathScope,
): Destination | undefined {
  const service = view.serviceByVip(ip);
  const capturedService = service !== undefined && isCapturedService(view, service) ? service : undefined;
  const workload = view.workloadByIp(ip);
  const capturedWorkload = workload !== undefined && isMeshed(workload) ? workload : undefined;
  const named = capturedService ?? capturedWorkload;
  const kernel = isOnKernelPath(view, ip, kernelPath);
  return named === undefined
    ? undefined
    : {
        flags: {
          workload: capturedWorkload !== undefined,
          service: capturedService !== undefined,
          kernel,
          accelerate: kernel && mayBeAccelerated(capturedWorkload, kernelPath),
        },
        label: fitLabel(`${named.namespace}/${named.name}`),
      };
}

export function desiredDestinations(
  view: MeshView,
  kernelPath?: KernelPathScope,
): Map<IpAddress, Destination> {
  return destinationsOf(view, allAddresses(view), kernelPath).wanted;
}

export interface DestinationChange {
  readonly wanted: Map<IpAddress, Destination>;
  readonly unwanted: IpAddress[];
}

/** What to write and what to delete after `diff`, which led to `view`. Entries that did not change may be among it. */
export function changedDestinations(
  view: MeshView,
  diff: MeshDiff,
  kernelPath?: KernelPathScope,
): DestinationChange {
  return destinationsOf(view, touchedAddresses(view, diff), kernelPath);
}

function destinationsOf(
  view: MeshView,
  addresses: ReadonlySet<IpAddress>,
  kernelPath: KernelPathScope | undefined,
): DestinationChange {
  const wanted = new Map<IpAddress, Destination>();
  const unwanted: IpAddress[] = [];
  for (const ip of addresses) {
    const destination = destinationAt(view, ip, kernelPath);
    if (destination === undefined) unwanted.push(ip);
    else wanted.set(ip, destination);
  }
  return { wanted, unwanted };
}

function allAddresses(view: MeshView): Set<IpAddress> {
  const addresses = new Set<IpAddress>();
  for (const workload of view.workloads.values()) for (const ip of workload.addresses) addresses.add(ip);
  for (const service of view.services.values()) for (const ip of service.vips) addresses.add(ip);
  return addresses;
}

/**
 * A workload's change also touches the Services it stands behind. An endpoint at an address that its pod does not have (yet) is
 * found by its Service's change, or when everything is computed anew.
 */
function touchedAddresses(view: MeshView, diff: MeshDiff): Set<IpAddress> {
  const touched = new Set<IpAddress>();
  for (const { before, after } of diff.workloads) {
    for (const ip of [...(before?.addresses ?? []), ...(after?.addresses ?? [])]) {
      touched.add(ip);
      for (const service of view.servicesOfEndpoint(ip)) service.vips.forEach((vip) => touched.add(vip));
    }
  }
  for (const { before, after } of diff.services) {
    for (const vip of [...(before?.vips ?? []), ...(after?.vips ?? [])]) touched.add(vip);
  }
  return touched;
}

const isMeshed = (workload: Workload): boolean => workload.protocol === 'hbone' && !workload.hostNetwork;

/** Both ends must, which the connect hook asks of each: who asked for HBONE neither dials nor is dialled otherwise. */
export const takesKernelPath = (
  workload: Workload | undefined,
  scope: KernelPathScope | undefined,
): boolean =>
  workload !== undefined &&
  workload.node === scope?.node &&
  isMeshed(workload) &&
  workload.sameNode !== 'hbone';

/** Both ends must, which sockops asks of each. */
const mayBeAccelerated = (
  workload: Workload | undefined,
  { accelerate }: Pick<KernelPathScope, 'accelerate'> = {},
): boolean =>
  accelerate === 'forced'
    ? workload?.accelerate !== false
    : accelerate === 'auto' && workload?.accelerate === true;

/** What the programs go by: an address that is a captured Service's, too, is dialled as that. */
export function isOnKernelPath(view: MeshView, ip: IpAddress, scope: KernelPathScope | undefined): boolean {
  if (!takesKernelPath(view.workloadByIp(ip), scope)) return false;
  const service = view.serviceByVip(ip);
  return service === undefined || !isCapturedService(view, service);
}

/**
 * A Service is captured if any endpoint is in the mesh, ready or not. One without endpoints is too: ztunnel refuses
 * it at once and says why, and its first endpoint, should it be in the mesh, is not reached around the mesh while
 * this map lags behind.
 */
function isCapturedService(view: MeshView, service: Service): boolean {
  return service.endpoints.length === 0 || service.endpoints.some((endpoint) => mayBeInMesh(view, endpoint));
}

/** Whose pod it is counts as well as whose address: endpoints may tell a pod, or its new address, before the pod does. */
function mayBeInMesh(view: MeshView, { address, pod }: Endpoint): boolean {
  const byAddress = view.workloadByIp(address);
  if (byAddress !== undefined && isMeshed(byAddress)) return true;
  if (pod === undefined) return false;
  const workload = view.workloads.get(pod);
  return workload === undefined || isMeshed(workload);
}
