/**
 * What everybody can see of this node's pods in the API: compares, every second, what is annotated with what is
 * enrolled, and has the difference written. Nothing here is waited for by enrolment.
 */
import type { Enrolment } from '../../agent/enrolment.ts';
import type { PodState } from '../../agent/pod-state.ts';
import type { Clock } from '../../base/clock.ts';
import type { SourceCondition } from '../../kube/source.ts';
import { countForbidden, notingClient } from '../forbidden.ts';
import { HttpKubeClient } from '../../kube/client/kube-client.ts';
import type { ApiServer } from '../../kube/client/kube-client.ts';
import type { Trouble } from '../../kube/report/pod-report.ts';
import { type PodReport, PodReporter } from '../../kube/report/pod-reporter.ts';
import type { NodeName, Workload, WorkloadUid } from '../../model/mesh.ts';
import type { MeshReader } from '../../model/view.ts';
import { driftOf } from './drift.ts';
import type { Foundation } from './parts.ts';

const lookEveryMs = 1_000;

/** Pure. */
export function reportOf(workload: Workload, state: PodState | undefined, now: number): PodReport {
  const wanted = redirectedBy(state, now);
  const isRight = wanted === undefined || wanted === (workload.annotated === true);
  return { redirected: isRight ? undefined : wanted, trouble: troubleOf(state, now) };
}

/** Undefined while it is open: what an earlier node program has said is true until proven otherwise. */
function redirectedBy(state: PodState | undefined, now: number): boolean | undefined {
  switch (state?.state) {
    case 'enrolled':
      return true;
    case 'failed':
      return driftOf(state, now) === undefined ? undefined : false;
    case 'pending':
      return undefined;
    case undefined:
      return false;
  }
}

function troubleOf(state: PodState | undefined, now: number): Trouble | undefined {
  const drift = driftOf(state, now);
  if (drift === undefined) return undefined;
  return { reason: state?.state === 'enrolled' ? 'CaptureBroken' : 'EnrolmentFailed', error: drift.error };
}

interface FollowDeps {
  readonly mesh: MeshReader;
  readonly node: NodeName;
  readonly enrolment: Pick<Enrolment, 'stateOf'>;
  readonly clock: Clock;
  readonly reporter: Pick<PodReporter, 'report' | 'forget'>;
}

/** Other nodes' pods cost nothing. Returns how to stop. */
export function followPods({ mesh, node, enrolment, clock, reporter }: FollowDeps): () => void {
  const own = new Map<WorkloadUid, Workload>();
  const note = (uid: WorkloadUid, workload: Workload | undefined): void => {
    if (workload?.node === node) own.set(uid, workload);
    else if (own.delete(uid)) reporter.forget(uid);
  };
  for (const [uid, workload] of mesh.view.workloads) note(uid, workload);
  const unsubscribe = mesh.subscribe((_, { workloads }) =>
    workloads.forEach(({ key, after }) => note(key, after)),
  );
  const look = (): void => {
    for (const [uid, pod] of own) {
      reporter.report(pod, reportOf(pod, enrolment.stateOf(uid), clock.now()));
    }
    cancel = clock.after(lookEveryMs, look);
  };
  let cancel = clock.after(lookEveryMs, look);
  return () => {
    unsubscribe();
    cancel();
  };
}

/**
 * @param server undefined: the objects are nobody's, so nobody is told
 * @returns what keeps it from being said, as of the moment of asking
 */
export function startReporting(
  { config, clock, log: root, version, cleanup, metrics }: Foundation,
  server: ApiServer | undefined,
  mesh: MeshReader,
  enrolment: Pick<Enrolment, 'stateOf'>,
): () => readonly SourceCondition[] {
  if (server === undefined) return () => [];
  const requests = new HttpKubeClient(server, { userAgent: `mesh-ebpf/${version}` });
  const client = notingClient(requests, countForbidden(metrics));
  const log = root.child({ scope: 'report' });
  const reporter = new PodReporter({ client, clock, log, node: config.nodeName });
  const unfollow = followPods({ mesh, node: config.nodeName, enrolment, clock, reporter });
  cleanup.defer(() => {
    unfollow();
    reporter.stop();
    requests.close();
  });
  return () => reporter.failures.map((failure) => ({ subject: 'annotations and Events', ...failure }));
}
