/**
 * Who is likely to connect to whom within the node: every pod on the kernel path to every port of another one that a
 * Service leads to. Pure. As many as the node's pods squared at most, however large the mesh is.
 */
import { type IpAddress, isIpv4, type Port } from '../base/ip.ts';
import { type KernelPathScope, takesKernelPath } from '../datapath/desired.ts';
import type { EnrolledPod } from '../datapath/pods.ts';
import { isKernelTarget } from '../datapath/services/desired.ts';
import type { MeshDiff, MeshView } from '../model/view.ts';
import { mayChangeVerdicts } from '../policy/verdict-changes.ts';

/** What the kernel has to know of a pod to carry its connections. */
export type PairPod = Pick<EnrolledPod, 'uid' | 'podId' | 'addresses'>;

export interface LikelyPair {
  readonly source: PairPod;
  readonly sourceIp: IpAddress;
  readonly destination: PairPod;
  readonly destinationIp: IpAddress;
  readonly port: Port;
}

export function* likelyPairs(
  view: MeshView,
  pods: readonly PairPod[],
  scope: KernelPathScope,
): Generator<LikelyPair> {
  const members = pods.filter(({ uid }) => takesKernelPath(view.workloads.get(uid), scope));
  for (const destination of members) {
    for (const target of targetsOf(view, destination, scope)) {
      for (const source of members) if (source !== destination) yield* fromEachAddress(source, target);
    }
  }
}

type Target = Omit<LikelyPair, 'source' | 'sourceIp'>;

const fromEachAddress = (source: PairPod, target: Target): LikelyPair[] =>
  source.addresses
    .filter((ip) => isIpv4(ip) === isIpv4(target.destinationIp))
    .map((sourceIp) => ({ ...target, source, sourceIp }));

const targetsOf = (view: MeshView, destination: PairPod, scope: KernelPathScope): Target[] =>
  destination.addresses.flatMap((destinationIp) =>
    [...servedPorts(view, destination, destinationIp, scope)].map((port) => ({
      destination,
      destinationIp,
      port,
    })),
  );

/** Of an address that two pods have, only what the mesh believes to be its pod serves anything. */
function servedPorts(view: MeshView, { uid }: PairPod, ip: IpAddress, scope: KernelPathScope): Set<Port> {
  if (view.workloadByIp(ip)?.uid !== uid) return new Set();
  const endpoints = view
    .servicesOfEndpoint(ip)
    .flatMap(({ endpoints: all }) => all.filter(({ address }) => address === ip));
  const ports = endpoints.flatMap(({ ports: served }) => [...served.values()]);
  return new Set(ports.filter((port) => isKernelTarget(view, { ip, port }, scope)));
}

/** Whether `diff`, which led to `view`, may have made other pairs, or took their verdicts back. */
export const mayChangePairs = (view: MeshView, diff: MeshDiff, scope: KernelPathScope): boolean =>
  mayChangeVerdicts(view, diff, ({ node }) => node === scope.node) ||
  diff.services.some(({ after }) =>
    after?.endpoints.some(({ address }) => takesKernelPath(view.workloadByIp(address), scope)),
  );
