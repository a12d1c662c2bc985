/** A pod's status as Kubernetes words it, from what the kubelet knows about its processes. Pure. */
import type { Pod } from '../../kube/objects.ts';

export type PodStatus = NonNullable<Pod['status']>;
export type PodPhase = NonNullable<PodStatus['phase']>;

export interface PodCondition {
  readonly phase: PodPhase;
  readonly ready: boolean;
  readonly restarts: number;
  /** A word for programs ("CrashLoopBackOff"); empty when there is nothing to explain. */
  readonly reason: string;
  /** A sentence for people. */
  readonly message: string;
}

export const pendingPod: PodCondition = {
  phase: 'Pending',
  ready: false,
  restarts: 0,
  reason: '',
  message: '',
};

/** A condition as it was published: what a kubelet begins with that comes after another. */
export const publishedCondition = (pod: Pod): PodCondition => ({
  phase: pod.status?.phase ?? 'Pending',
  ready: isPodReady(pod),
  restarts: pod.status?.containerStatuses?.[0]?.restartCount ?? 0,
  reason: pod.status?.reason ?? '',
  message: pod.status?.message ?? '',
});

/** Ended, and not to be started again. */
export const isOver = ({ phase }: PodCondition): boolean => phase === 'Succeeded' || phase === 'Failed';

export const isPodReady = (pod: Pod): boolean =>
  pod.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') ?? false;

export const isTerminating = (pod: Pod): boolean => pod.metadata.deletionTimestamp !== undefined;

/** Addresses were given by `lab apply` and stay. */
export function podStatus(pod: Pod, condition: PodCondition, hostIp: string): PodStatus {
  const { podIP, podIPs } = pod.status ?? {};
  const ready = condition.ready ? 'True' : 'False';
  return {
    phase: condition.phase,
    hostIP: hostIp,
    ...(podIP === undefined ? {} : { podIP }),
    ...(podIPs === undefined ? {} : { podIPs }),
    ...(condition.reason === '' ? {} : { reason: condition.reason }),
    ...(condition.message === '' ? {} : { message: condition.message }),
    conditions: [
      { type: 'PodScheduled', status: 'True' },
      { type: 'ContainersReady', status: ready },
      { type: 'Ready', status: ready },
    ],
    containerStatuses: pod.spec.containers.map(({ name }) => ({
      name,
      ready: condition.ready,
      restartCount: condition.restarts,
    })),
  };
}
