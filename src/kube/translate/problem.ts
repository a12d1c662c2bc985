/** Problems that translation finds: they concern an object that parsed. */
import { referenceTo, type SourcedObject } from '../objects.ts';
import type { Problem } from '../problem.ts';
import type { Remark } from './policy-rules.ts';

export function objectProblem(
  { object, position }: SourcedObject,
  field: string,
  message: string,
  hint?: string,
): Problem {
  return { severity: 'error', object: referenceTo(object), position, field, message, hint };
}

/** Remarks on fields of a policy: an error where it is not in force as it stands, else a warning. */
export const remarkProblems = (sourced: SourcedObject, remarks: readonly Remark[]): readonly Problem[] =>
  remarks.map(({ type, field, message }) => ({
    ...objectProblem(sourced, field, message),
    severity: type === 'unreadable' ? 'error' : 'warning',
    remark: type,
  }));
