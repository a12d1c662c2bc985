/**
 * Workloads that are known before their source knows them: when a pod's sandbox is made, the CNI tells its addresses,
 * and the API server a second or a minute later. Until the source reports newer addresses of its own, or they are taken
 * back, the early ones stand; everything else about the pod is the source's word as soon as there is one.
 */
import type { IpAddress } from '../base/ip.ts';
import type { Workload, WorkloadUid } from './mesh.ts';

interface Early {
  workload: Workload;
  /** What the source says of the pod; undefined while it does not know it. */
  sourced: Workload | undefined;
  /** The source's addresses when the early ones came: as long as it says these, it does not know better. */
  readonly outdated: readonly IpAddress[] | undefined;
}

export class EarlyWorkloads {
  readonly #early = new Map<WorkloadUid, Early>();

  /** @param current what the model holds for it now */
  add(workload: Workload, current: Workload | undefined): void {
    const known = this.#early.get(workload.uid);
    const sourced = known === undefined ? current : known.sourced;
    const outdated = known === undefined ? sourced?.addresses : known.outdated;
    this.#early.set(workload.uid, { workload, sourced, outdated });
  }

  has(uid: WorkloadUid): boolean {
    return this.#early.has(uid);
  }

  /** Returns the source's word on it, which is in force again. */
  remove(uid: WorkloadUid): Workload | undefined {
    const sourced = this.#early.get(uid)?.sourced;
    this.#early.delete(uid);
    return sourced;
  }

  /** The source's changes with what it does not know yet. Costs nothing while there is nothing of the kind. */
  complete(
    changes: ReadonlyMap<WorkloadUid, Workload | undefined>,
  ): ReadonlyMap<WorkloadUid, Workload | undefined> {
    if (this.#early.size === 0) return changes;
    return new Map(Array.from(changes, ([uid, sourced]) => [uid, this.#merge(uid, sourced)]));
  }

  #merge(uid: WorkloadUid, sourced: Workload | undefined): Workload | undefined {
    const early = this.#early.get(uid);
    if (early === undefined) return sourced;
    // Silence says nothing: a pod whose sandbox is being made has no address to be listed with.
    if (sourced !== undefined && !sameAddresses(sourced.addresses, early.outdated)) {
      this.#early.delete(uid);
      return sourced;
    }
    early.sourced = sourced;
    if (sourced !== undefined) early.workload = { ...sourced, addresses: early.workload.addresses };
    return early.workload;
  }
}

/** In any order: the CNI and the kubelet each have their own. */
export const sameAddresses = (a: readonly IpAddress[], b: readonly IpAddress[] | undefined): boolean =>
  b !== undefined && a.length === b.length && a.toSorted().join() === b.toSorted().join();
