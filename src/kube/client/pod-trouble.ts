/** Why a pod of the mesh does not run, or is not ready, and what to look at. Pure. */
import type { KubeObject } from './kube-objects.ts';

interface ContainerState {
  readonly running?: object;
  readonly waiting?: { readonly reason?: string; readonly message?: string };
  readonly terminated?: { readonly exitCode?: number; readonly reason?: string };
}

interface ContainerStatus {
  readonly name?: string;
  readonly state?: ContainerState;
}

interface Condition {
  readonly type?: string;
  readonly status?: string;
  readonly message?: string;
}

/** What is read of a pod; the API server leaves out what is not set. */
export interface ObservedPod extends KubeObject {
  readonly spec?: { readonly nodeName?: string };
  readonly status?: {
    readonly phase?: string;
    readonly reason?: string;
    readonly message?: string;
    readonly conditions?: readonly Condition[];
    readonly initContainerStatuses?: readonly ContainerStatus[];
    readonly containerStatuses?: readonly ContainerStatus[];
  };
}

/** Undefined while the program of this container runs. */
export function whyNotRunning({ status = {} }: ObservedPod, container: string): string | undefined {
  const { phase = 'unknown', reason, message, conditions = [], containerStatuses = [] } = status;
  const state = containerStatuses.find(({ name }) => name === container)?.state ?? {};
  if (phase === 'Running' && state.running !== undefined) return undefined;
  if (state.waiting?.message !== undefined || state.terminated !== undefined) return wordsFor(state);
  const why = unscheduled(conditions) ?? message ?? state.waiting?.reason ?? reason;
  return why === undefined ? `it is ${phase}` : said(phase, why);
}

export interface PodTrouble {
  /** `mesh-ebpf-node-x1 on node-a`. */
  readonly pod: string;
  readonly reason: string;
  readonly next: string;
}

/** Undefined for a pod that is ready. */
export function troubleOf({ metadata, spec, status = {} }: ObservedPod): PodTrouble | undefined {
  const where = spec?.nodeName === undefined ? 'on no node' : `on ${spec.nodeName}`;
  const of = (reason: string, next: string): PodTrouble => ({
    pod: `${metadata.name} ${where}`,
    reason,
    next: `kubectl -n ${metadata.namespace ?? 'default'} ${next}`,
  });
  const { conditions = [], initContainerStatuses = [], containerStatuses = [] } = status;
  const homeless = unscheduled(conditions);
  if (homeless !== undefined) return of(homeless, `describe pod ${metadata.name}`);
  const stuck = [...initContainerStatuses, ...containerStatuses].find(({ state }) => isStuck(state));
  if (stuck?.state !== undefined) {
    return of(wordsFor(stuck.state), `logs ${metadata.name} -c ${stuck.name ?? ''} --previous`);
  }
  const ready = conditions.find(({ type }) => type === 'Ready');
  if (ready?.status === 'True') return undefined;
  return of(ready?.message ?? 'not ready yet', `logs ${metadata.name}`);
}

function unscheduled(conditions: readonly Condition[]): string | undefined {
  const condition = conditions.find(({ type, status }) => type === 'PodScheduled' && status === 'False');
  return condition === undefined ? undefined : (condition.message ?? 'cannot be scheduled');
}

const isStuck = ({ waiting, terminated }: ContainerState = {}): boolean =>
  (waiting !== undefined && waiting.reason !== 'PodInitializing') || (terminated?.exitCode ?? 0) !== 0;

/** Of a container that waits, or has ended. */
function wordsFor({ waiting, terminated }: ContainerState): string {
  if (waiting === undefined) {
    return said(
      terminated?.reason,
      `its program ended with exit status ${terminated?.exitCode ?? 'unknown'}`,
    );
  }
  const { reason, message } = waiting;
  return message === undefined ? (reason ?? 'waiting') : said(reason, message);
}

const said = (reason: string | undefined, message: string): string =>
  reason === undefined ? message : `${reason}: ${message}`;
