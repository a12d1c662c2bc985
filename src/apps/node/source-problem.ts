/** What is wrong with the objects, with where they come from, or with the programs, as the admin API tells it. */
import type { MeshError } from '../../base/errors.ts';
import type { Datapath } from '../../datapath/datapath.ts';
import { formatProblem, type Problem as ManifestProblem } from '../../kube/problem.ts';
import type { SourceCondition } from '../../kube/source.ts';
import type { Problem } from '../../telemetry/admin-api.ts';

export function sourceProblem(problem: ManifestProblem): Problem {
  const { position, object, hint } = problem;
  const where = position === undefined ? '' : `file ${position.file}:${position.line}:${position.column}`;
  const what = object === undefined ? 'objects' : `${object.kind} ${object.namespace}/${object.name}`;
  return {
    code: 'INVALID_MANIFEST',
    subject: where || what,
    message: formatProblem(problem),
    hint: hint ?? null,
    since: null,
  };
}

export const conditionProblem = (
  { subject, error, since }: SourceCondition,
  prefix = 'source ',
): Problem => ({
  code: error.code,
  subject: `${prefix}${subject}`,
  message: error.message,
  hint: error.hint ?? null,
  since: new Date(since).toISOString(),
});

/** `degraded`: those that were in force before go on enforcing. */
export function programProblems({ degraded, untried }: Pick<Datapath, 'degraded' | 'untried'>): Problem[] {
  return [
    ...problemOf(degraded, 'programs of an earlier version stay in force: '),
    ...problemOf(untried, 'in force all the same, because none were before: '),
  ];
}

const problemOf = (error: MeshError | undefined, what: string): Problem[] =>
  error === undefined
    ? []
    : [
        {
          code: error.code,
          subject: 'BPF programs',
          message: `${what}${error.message}`,
          hint: error.hint ?? null,
          since: null,
        },
      ];
