/** Keeps a bug in the translation of one object from hurting the others. */
import type { SourcedObject } from '../objects.ts';
import type { Problem } from '../problem.ts';
import { objectProblem } from './problem.ts';

/** What `translate` returns; `fallback`, with the problem, if it throws. */
export function guarded<Result>(
  sourced: SourcedObject,
  translate: () => Result,
  fallback: (problem: Problem) => Result,
): Result {
  try {
    return translate();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const hint = 'this is a bug in mesh-ebpf: please report it with the object';
    return fallback(objectProblem(sourced, '', `could not be translated: ${reason}`, hint));
  }
}
