/** Whether a Deployment or DaemonSet is what was applied, everywhere, and what is missing if not. Pure. */
import type { KubeObject } from '../../kube/client/kube-objects.ts';

interface Status {
  readonly observedGeneration?: number;
  readonly replicas?: number;
  readonly updatedReplicas?: number;
  readonly availableReplicas?: number;
  readonly desiredNumberScheduled?: number;
  readonly updatedNumberScheduled?: number;
  readonly numberAvailable?: number;
}

export interface RollingObject extends KubeObject {
  readonly metadata: KubeObject['metadata'] & { readonly generation?: number };
  readonly spec?: { readonly replicas?: number };
  readonly status?: Status;
}

export interface Rollout {
  readonly done: boolean;
  /** `2 of 3 updated, 1 available`. */
  readonly state: string;
}

export function rolloutOf({ kind, metadata, spec, status = {} }: RollingObject): Rollout {
  if ((status.observedGeneration ?? 0) < (metadata.generation ?? 1)) {
    return { done: false, state: 'waiting for Kubernetes to see it' };
  }
  const wanted = kind === 'DaemonSet' ? (status.desiredNumberScheduled ?? 0) : (spec?.replicas ?? 1);
  const updated = (kind === 'DaemonSet' ? status.updatedNumberScheduled : status.updatedReplicas) ?? 0;
  const available = (kind === 'DaemonSet' ? status.numberAvailable : status.availableReplicas) ?? 0;
  const superfluous = kind === 'DaemonSet' ? 0 : Math.max(0, (status.replicas ?? 0) - updated);
  const done = updated >= wanted && available >= wanted && superfluous === 0;
  return { done, state: `${updated} of ${wanted} updated, ${available} available` };
}
