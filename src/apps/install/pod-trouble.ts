/** Why a pod of the mesh is not ready, and what to look at. Pure. */
import type { KubeObject } from '../../kube/client/kube-objects.ts';

interface ContainerState {
  readonly name: string;
  readonly ready?: boolean;
  readonly state?: {
    readonly waiting?: { readonly reason?: string; readonly message?: string };
    readonly terminated?: { readonly exitCode?: number; readonly reason?: string };
  };
}

export interface TroubledPod extends KubeObject {
  readonly spec?: { readonly nodeName?: string };
  readonly status?: {
    readonly conditions?: readonly {
      readonly type: string;
      readonly status: string;
      readonly reason?: string;
      readonly message?: string;
    }[];
    readonly initContainerStatuses?: readonly ContainerState[];
    readonly containerStatuses?: readonly ContainerState[];
  };
}

export interface PodTrouble {
  /** `mesh-ebpf-node-x1 on node-a`. */
  readonly pod: string;
  readonly reason: string;
  readonly next: string;
}

/** Undefined for a pod in order. */
export function troubleOf({ metadata, spec, status }: TroubledPod): PodTrouble | undefined {
  const where = spec?.nodeName === undefined ? 'on no node' : `on ${spec.nodeName}`;
  const of = (reason: string, next: string): PodTrouble => ({
    pod: `${metadata.name} ${where}`,
    reason,
    next,
  });
  const object = `-n ${metadata.namespace ?? 'default'}`;
  const scheduled = status?.conditions?.find(({ type }) => type === 'PodScheduled');
  if (scheduled?.status === 'False') {
    return of(scheduled.message ?? 'cannot be scheduled', `kubectl ${object} describe pod ${metadata.name}`);
  }
  const containers = [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])];
  const stuck = containers.find(({ state }) => isTrouble(state));
  if (stuck !== undefined) {
    return of(reasonOf(stuck.state), `kubectl ${object} logs ${metadata.name} -c ${stuck.name} --previous`);
  }
  const ready = status?.conditions?.find(({ type }) => type === 'Ready');
  if (ready?.status === 'True') return undefined;
  return of(ready?.message ?? 'not ready yet', `kubectl ${object} logs ${metadata.name}`);
}

const isTrouble = (state: ContainerState['state']): boolean =>
  (state?.waiting !== undefined && state.waiting.reason !== 'PodInitializing') ||
  (state?.terminated?.exitCode ?? 0) !== 0;

const reasonOf = (state: ContainerState['state']): string =>
  state?.waiting === undefined
    ? `ended with status ${state?.terminated?.exitCode ?? '?'}`
    : [state.waiting.reason, state.waiting.message].filter((text) => text !== undefined).join(': ');
