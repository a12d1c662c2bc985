/** Which changes of the mesh can make another verdict between two of a node's pods: what a cache of verdicts must ask. */
import type { Workload } from '../model/mesh.ts';
import type { MeshDiff, MeshView } from '../model/view.ts';
import { servicesNamed } from './applicable.ts';

/**
 * Whether a verdict between two workloads for which `isAsked` holds may be another one after `diff`, which led to
 * `view`. Says yes once too often rather than once too seldom.
 */
export function mayChangeVerdicts(
  view: MeshView,
  { policies, peerAuthentications, access, services, workloads }: MeshDiff,
  isAsked: (workload: Workload) => boolean,
): boolean {
  if (policies.length + peerAuthentications.length + access.length > 0) return true;
  const isAskedOf = (workload: Workload | undefined): boolean => workload !== undefined && isAsked(workload);
  if (workloads.some(({ before, after }) => isAskedOf(before) || isAskedOf(after))) return true;
  if (services.length === 0) return false;
  const changed = new Set(services.map(({ key }) => key));
  return [...view.policies.values()].some((policy) => servicesNamed(policy).some((key) => changed.has(key)));
}
