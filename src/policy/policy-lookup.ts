/** The policies that apply to a workload as one list, for people: `mesh-ebpf policies`, `config_dump`. */
import type { Workload } from '../model/mesh.ts';
import type { AuthorizationPolicy } from '../model/policy.ts';
import type { MeshView } from '../model/view.ts';
import { applicableLookup } from './applicable.ts';

/** By key. */
export type PolicyLookup = (workload: Workload) => readonly AuthorizationPolicy[];

export function policyLookup(view: MeshView): PolicyLookup {
  const lookup = applicableLookup(view.policies.values(), view);
  return (workload) => {
    const { mesh, namespace, selected } = lookup(workload);
    return [...mesh, ...namespace, ...selected].toSorted((a, b) => (a.key < b.key ? -1 : 1));
  };
}
