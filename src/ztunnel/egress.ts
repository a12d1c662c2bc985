/**
 * Outbound: what would go on in plaintext leaves the mesh, and goes only where a NamespaceAccess lets it. The kernel
 * judges what it does not capture; this is for what came here all the same: a Service with endpoints in and outside of
 * the mesh, or all connections while the kernel's list of destinations is incomplete.
 */
import { type Facts, peerAt, refuse, type Step } from './facts.ts';
import { denial } from './authorize.ts';
import { egressVerdict } from '../policy/egress.ts';

export const enforceEgress: Step = (facts) => {
  const { source, routes, originalDestination, view } = facts;
  if (source.workload === undefined || routes.every(({ type }) => type === 'hbone')) return facts;
  const verdict = egressVerdict(view, source.workload, { ...originalDestination, protocol: 'tcp' });
  if (verdict === undefined || verdict.allowed) return facts;
  return withinMesh(facts) ?? refuse({ ...facts, verdict }, 'policy', denial(verdict));
};

/** By the routes through the mesh alone, if there are any: at their end the destination's own policies decide. */
function withinMesh(facts: Facts): Facts | undefined {
  const routes = facts.routes.filter((route) => route.type === 'hbone');
  const [first] = routes;
  if (first === undefined) return undefined;
  return {
    ...facts,
    routes,
    destination: peerAt(facts.view, first.target),
    path: 'tunnel',
    hboneAddress: first.via,
  };
}
