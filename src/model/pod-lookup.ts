/**
 * What the agent asks a source of objects when a pod is about to start that the mesh model does not have yet: a pod
 * enters the model with its addresses, and those are reported only after it started.
 */
import type { Workload } from './mesh.ts';

/** A workload whose addresses are not known to its source, or are those of an earlier sandbox. */
export type PendingWorkload = Omit<Workload, 'addresses'>;

export interface PodLookup {
  /**
   * The pod as its source has it now, its namespace's labels applied. Undefined: there is no such pod.
   * @throws MeshError UNAVAILABLE when nobody can tell now (the API server is away, the namespace is not known yet);
   *   INVALID_MANIFEST when the pod cannot be understood
   */
  findPod(namespace: string, name: string, signal: AbortSignal): Promise<PendingWorkload | undefined>;
}
