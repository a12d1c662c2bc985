/**
 * Outbound: what would go on in plaintext leaves the mesh, and goes only where a NamespaceAccess lets it. The kernel
 * judges what it does not capture; this is for what came here all the same: a Service with endpoints in and outside of
 * the mesh, or all connections while the kernel's list of destinations is incomplete.
 */
import type { SocketAddress } from '../base/ip.ts';
import type { Verdict } from '../model/connection.ts';
import { egressVerdict } from '../policy/egress.ts';
import { denial } from './authorize.ts';
import { type Facts, refuse, type Step } from './facts.ts';

/** The verdict that keeps a connection within the mesh; undefined: it may leave. */
export function egressDenial({ source, originalDestination, view }: Facts): Verdict | undefined {
  if (source.workload === undefined) return undefined;
  const verdict = egressVerdict(view, source.workload, { ...originalDestination, protocol: 'tcp' });
  return verdict?.allowed === false ? verdict : undefined;
}

/** Of a connection that may not leave the mesh the endpoints inside, if there are any. */
export function withinEgress(facts: Facts, targets: readonly SocketAddress[]): readonly SocketAddress[] {
  const isMeshed = ({ ip }: SocketAddress): boolean => facts.view.workloadByIp(ip)?.protocol === 'hbone';
  if (targets.every(isMeshed) || egressDenial(facts) === undefined) return targets;
  const inside = targets.filter(isMeshed);
  return inside.length > 0 ? inside : targets;
}

export const enforceEgress: Step = (facts) => {
  if (facts.routes.every(({ type }) => type === 'hbone')) return facts;
  const verdict = egressDenial(facts);
  return verdict === undefined ? facts : refuse({ ...facts, verdict }, 'policy', denial(verdict));
};
