/** When a pod that belongs into the mesh counts as being outside of it. Pure. */
import type { PodState } from '../../agent/pod-state.ts';
import type { MeshError } from '../../base/errors.ts';

/**
 * A pod that is just starting fails a few times before its processes are there. One that was captured is mended and
 * proved once more, at once, when its proof fails. With the time until its turn to be proved, people are told after ten
 * seconds at most.
 */
const patienceMs = { failed: 8_000, enrolled: 2_500 };

export interface Drift {
  readonly since: number;
  readonly error: MeshError;
}

export function driftOf(state: PodState | undefined, now: number): Drift | undefined {
  switch (state?.state) {
    case 'failed':
      return driftAfter(patienceMs.failed, state, now);
    case 'enrolled':
      return driftAfter(patienceMs.enrolled, state.proof, now);
    case 'pending':
    case undefined:
      return undefined;
  }
}

const driftAfter = (
  ms: number,
  failure: { readonly since: number; readonly error: MeshError | undefined } | undefined,
  now: number,
): Drift | undefined =>
  failure?.error !== undefined && now - failure.since >= ms
    ? { since: failure.since, error: failure.error }
    : undefined;
