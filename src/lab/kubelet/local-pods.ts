/** The pods of one node: a runner for each, started when its object appears, ended when the object says so. */
import type { Pod } from '../../kube/objects.ts';
import { objectsOfKind } from '../plan/objects.ts';
import type { Objects } from '../plan/objects.ts';
import { isTerminating } from '../plan/pod-status.ts';
import type { PodCondition } from '../plan/pod-status.ts';
import type { LocalPods } from '../plan/publish.ts';
import type { PodRunner } from './pod-runner.ts';

export interface LocalPodSetDeps {
  readonly start: (pod: Pod, uid: string, objects: Objects) => PodRunner;
  /** Whether an earlier kubelet has begun the pod, and not ended it. */
  readonly isLeft: (uid: string) => boolean;
}

export class LocalPodSet {
  readonly #node: string;
  readonly #deps: LocalPodSetDeps;
  readonly #runners = new Map<string, PodRunner>();

  constructor(node: string, deps: LocalPodSetDeps) {
    this.#node = node;
    this.#deps = deps;
  }

  /** Starts what is new, and takes over what is there: what is to end must be known to be ended. */
  adopt(objects: Objects): void {
    for (const [uid, pod] of this.#wanted(objects)) {
      if (this.#runners.has(uid) || (isTerminating(pod) && !this.#deps.isLeft(uid))) continue;
      this.#runners.set(uid, this.#deps.start(pod, uid, objects));
    }
  }

  /** Ends what is to end. After `adopt` and after the objects say so, so that nobody is sent to a pod that ends. */
  retire(objects: Objects): void {
    const wanted = this.#wanted(objects);
    for (const [uid, runner] of this.#runners) {
      const deadline = deadlineOf(wanted.get(uid));
      if (deadline !== undefined) runner.terminate(deadline);
      if (runner.gone && !wanted.has(uid)) this.#runners.delete(uid);
    }
  }

  /** A pod that was to end before it ever began is gone as well. */
  report(objects: Objects): LocalPods {
    const conditions = new Map<string, PodCondition>();
    const gone = new Set<string>();
    for (const [uid, pod] of this.#wanted(objects)) {
      const runner = this.#runners.get(uid);
      if (runner === undefined ? isTerminating(pod) : runner.gone) gone.add(uid);
      else if (runner !== undefined) conditions.set(uid, runner.condition);
    }
    return { conditions, gone };
  }

  /** Paths of the pods' logs. */
  logs(): readonly string[] {
    return [...this.#runners.values()].map((runner) => runner.logFile);
  }

  #wanted(objects: Objects): ReadonlyMap<string, Pod> {
    const own = objectsOfKind(objects, 'Pod').filter((pod) => pod.spec.nodeName === this.#node);
    return new Map(own.flatMap((pod) => (pod.metadata.uid === undefined ? [] : [[pod.metadata.uid, pod]])));
  }
}

/** When a pod must be gone, ms since the epoch: at once if somebody removed its object. undefined: it stays. */
function deadlineOf(pod: Pod | undefined): number | undefined {
  if (pod === undefined) return 0;
  return isTerminating(pod) ? Date.parse(pod.metadata.deletionTimestamp ?? '') || 0 : undefined;
}
