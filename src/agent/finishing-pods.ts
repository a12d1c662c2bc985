/**
 * Pods that left the mesh and live on with the connections they have: when the last of those has ended, and no sooner,
 * their namespaces are cleaned.
 */
import { asMeshError } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import type { WorkloadUid } from '../model/mesh.ts';
import type { TunnelEngine } from '../net/engine.ts';
import type { NetnsRules } from './netns-rules.ts';
import type { EnrolledPod } from './pod-state.ts';

interface FinishingPodsDeps {
  readonly engine: Pick<TunnelEngine, 'retirePod'>;
  readonly rules: Pick<NetnsRules, 'remove'>;
  readonly log: Logger;
}

export class FinishingPods {
  readonly #deps: FinishingPodsDeps;
  readonly #finished: (uid: WorkloadUid) => void;
  /** The last of their connections has ended. */
  readonly #waiting = new Map<WorkloadUid, EnrolledPod[]>();

  /** @param finished hears which pod is to be cleaned up, by whoever works on that pod */
  constructor(deps: FinishingPodsDeps, finished: (uid: WorkloadUid) => void) {
    this.#deps = deps;
    this.#finished = finished;
  }

  /** The replies of its connections need the rules of its namespace to the last. */
  add(pod: EnrolledPod): void {
    const { uid } = pod.workload;
    void this.#deps.engine.retirePod(uid).then(() => {
      this.#waiting.set(uid, [...(this.#waiting.get(uid) ?? []), pod]);
      this.#finished(uid);
    });
  }

  /** If it is enrolled anew, its rules are in use. */
  async cleanUp(uid: WorkloadUid, isOutside: boolean): Promise<void> {
    const waiting = this.#waiting.get(uid) ?? [];
    this.#waiting.delete(uid);
    for (const pod of waiting) {
      if (isOutside) await this.release(pod);
      else pod.netns.close();
    }
  }

  /** The namespace may be gone with its pod: nothing to clean then. */
  async release({ netns, workload }: EnrolledPod): Promise<void> {
    const { rules, log } = this.#deps;
    await rules.remove(netns.path).catch((error: unknown) => {
      log.warn({ pod: workload.uid, error: asMeshError(error).message }, 'could not clean up after a pod');
    });
    netns.close();
  }
}
