/** When a pod that belongs into the mesh counts as being outside of it. Pure. */
import type { PodState } from '../../agent/enrolment.ts';
import type { MeshError } from '../../base/errors.ts';

/** A pod that is just starting fails a few times before its processes are there; after ten seconds people are told. */
const driftMs = 8_000;

export interface Drift {
  readonly since: number;
  readonly error: MeshError;
}

export function driftOf(state: PodState | undefined, now: number): Drift | undefined {
  const { since, error } = failureOf(state) ?? {};
  return since !== undefined && error !== undefined && now - since >= driftMs ? { since, error } : undefined;
}

function failureOf(
  state: PodState | undefined,
): { readonly since: number; readonly error: MeshError | undefined } | undefined {
  switch (state?.state) {
    case 'failed':
      return state;
    case 'enrolled':
      return state.proof;
    case 'pending':
    case undefined:
      return undefined;
  }
}
