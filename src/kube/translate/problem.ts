/** Problems that translation finds: they concern an object that parsed. */
import { referenceTo, type SourcedObject } from '../objects.ts';
import type { Problem } from '../problem.ts';

export function objectProblem(
  { object, position }: SourcedObject,
  field: string,
  message: string,
  hint?: string,
): Problem {
  return { severity: 'error', object: referenceTo(object), position, field, message, hint };
}
