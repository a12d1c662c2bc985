/** Remembers, pod by pod, whether its capture was proved, and since when that is so. */
import type { Clock } from '../base/clock.ts';
import { asMeshError, type MeshError } from '../base/errors.ts';
import type { WorkloadUid } from '../model/mesh.ts';
import type { ProbedPod } from './capture-probe.ts';

export interface Proof {
  /** When it began to come out like this. */
  readonly since: number;
  /** Undefined: capture works. */
  readonly error: MeshError | undefined;
}

export interface CaptureVerifierDeps {
  /** @throws MeshError saying what is not captured */
  readonly prove: (pod: ProbedPod) => Promise<void>;
  readonly clock: Pick<Clock, 'now'>;
}

export class CaptureVerifier {
  readonly #deps: CaptureVerifierDeps;
  readonly #proofs = new Map<WorkloadUid, Proof>();
  #next = 0;

  constructor(deps: CaptureVerifierDeps) {
    this.#deps = deps;
  }

  proofOf(uid: WorkloadUid): Proof | undefined {
    return this.#proofs.get(uid);
  }

  get verified(): number {
    return [...this.#proofs.values()].filter(({ error }) => error === undefined).length;
  }

  forget(uid: WorkloadUid): void {
    this.#proofs.delete(uid);
  }

  async verify(pod: ProbedPod): Promise<Proof> {
    const error = await this.#deps.prove(pod).then(
      () => undefined,
      (thrown: unknown) => asMeshError(thrown, 'NETNS'),
    );
    const before = this.#proofs.get(pod.uid);
    const unchanged = before !== undefined && (before.error === undefined) === (error === undefined);
    const proof = { since: unchanged ? before.since : this.#deps.clock.now(), error };
    this.#proofs.set(pod.uid, proof);
    return proof;
  }

  /** `count` of them, and the next ones next time: every pod gets its turn, however many there are. */
  turn<Pod>(pods: readonly Pod[], count: number): readonly Pod[] {
    const from = this.#next < pods.length ? this.#next : 0;
    this.#next = from + count;
    return pods.slice(from, from + count);
  }
}
