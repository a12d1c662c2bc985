/** Which endpoint of a Service a connection tries next. Pure. */
import { type IpAddress, isIpv4, type SocketAddress } from '../base/ip.ts';
import type { Endpoint, Service } from '../model/mesh.ts';
import type { MeshView } from '../model/view.ts';

/** What is known of endpoints from dialling them. */
export interface DialHistory {
  /** By this connection: not tried again. */
  readonly tried: ReadonlySet<IpAddress>;
  /** It failed some other connection just now: tried when no other is left. */
  readonly isSuspect: (ip: IpAddress) => boolean;
}

/**
 * At random among the best: ready ones, then ready ones that are suspect, then those that serve although they are
 * leaving. Only the family that was dialled. Undefined when none is left.
 * @param random a number in [0, 1)
 */
export function chooseEndpoint(
  view: MeshView,
  service: Service,
  dialled: SocketAddress,
  { tried, isSuspect }: DialHistory,
  random: () => number,
): SocketAddress | undefined {
  const v4 = isIpv4(dialled.ip);
  let best: Endpoint[] = [];
  let bestRank = Infinity;
  for (const endpoint of service.endpoints) {
    if (!endpoint.ready || !endpoint.ports.has(dialled.port) || isIpv4(endpoint.address) !== v4) continue;
    if (tried.has(endpoint.address) || !isKnown(view, endpoint)) continue;
    const rank = endpoint.terminating ? 2 : isSuspect(endpoint.address) ? 1 : 0;
    if (rank > bestRank) continue;
    if (rank < bestRank) best = [];
    bestRank = rank;
    best.push(endpoint);
  }
  const chosen = best[Math.floor(random() * best.length)];
  const port = chosen?.ports.get(dialled.port);
  return chosen === undefined || port === undefined ? undefined : { ip: chosen.address, port };
}

/** A pod the model does not know (yet, or any more) might be in the mesh: it must not be dialled in plaintext. */
const isKnown = (view: MeshView, { pod }: Endpoint): boolean => pod === undefined || view.workloads.has(pod);
