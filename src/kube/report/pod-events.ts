/**
 * Events about pods that are not in the mesh: one for each trouble of a pod, and while it goes on the same one,
 * counted, every few minutes (often enough that it does not expire, which takes an hour).
 */
import type { Clock } from '../../base/clock.ts';
import type { WorkloadUid } from '../../model/mesh.ts';
import type { KubeClient } from '../client/kube-client.ts';
import { tellEvent } from './cluster-event.ts';
import { type ReportedPod, type Trouble, troubleEvent, troubleKey } from './pod-report.ts';

const repeatAfterMs = 5 * 60_000;

export interface PodEventsDeps {
  readonly client: KubeClient;
  readonly clock: Pick<Clock, 'now'>;
  /** Who tells. */
  readonly node: string;
}

export class PodEvents {
  readonly #deps: PodEventsDeps;
  /** When each trouble was told last. */
  readonly #toldAt = new Map<WorkloadUid, Map<string, number>>();

  constructor(deps: PodEventsDeps) {
    this.#deps = deps;
  }

  /** Whether there is something to tell that was not told lately. */
  isNews({ uid }: ReportedPod, trouble: Trouble): boolean {
    const toldAt = this.#toldAt.get(uid)?.get(troubleKey(trouble));
    return toldAt === undefined || this.#deps.clock.now() - toldAt >= repeatAfterMs;
  }

  /** From now on it counts as told. */
  note({ uid }: ReportedPod, trouble: Trouble): void {
    const told = this.#toldAt.get(uid) ?? new Map<string, number>();
    this.#toldAt.set(uid, told.set(troubleKey(trouble), this.#deps.clock.now()));
  }

  forget(uid: WorkloadUid): void {
    this.#toldAt.delete(uid);
  }

  /** @throws MeshError by `api-refusal.ts` */
  async tell(pod: ReportedPod, trouble: Trouble): Promise<void> {
    const { client, clock, node } = this.#deps;
    await tellEvent(client, troubleEvent(pod, trouble), { node, now: clock.now(), times: 1 });
  }
}
