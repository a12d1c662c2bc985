/** All that is to be said of policies: what translation found wrong with the objects, and what lint found with their meaning. */
import { type Finding, lintCodes, type LintCode, type Severity } from '../policy/lint/finding.ts';
import type { FieldLocator } from './locate-fields.ts';
import type { ObjectReference, Problem, RemarkType, SourcePosition } from './problem.ts';

export interface PlacedFinding {
  readonly code: LintCode;
  readonly severity: Severity;
  /** undefined: a file as a whole. */
  readonly object: ObjectReference | undefined;
  readonly field: string;
  /** Of objects in files. */
  readonly position: SourcePosition | undefined;
  readonly message: string;
  readonly hint: string | undefined;
}

const nowhere: FieldLocator = () => undefined;

/** Those in files by file and line, then those of objects in the order given. */
export function placedFindings(
  problems: readonly Problem[],
  findings: readonly Finding[],
  locate: FieldLocator = nowhere,
): readonly PlacedFinding[] {
  const all = [
    ...problems.map((problem) => problemFinding(problem, locate)),
    ...findings.map((found) => ({ ...found, position: locate(found.object, found.field) })),
  ];
  return all.toSorted((a, b) => byPosition(a.position, b.position));
}

function problemFinding(problem: Problem, locate: FieldLocator): PlacedFinding {
  const { object, field, message, hint, position } = problem;
  const code = codeOf(problem);
  const place = object === undefined || problem.remark === undefined ? position : locate(object, field);
  return {
    code,
    severity: lintCodes[code].severity,
    object,
    field,
    position: place ?? position,
    message,
    hint,
  };
}

const codes: Readonly<Record<RemarkType, LintCode>> = {
  unreadable: 'invalid',
  l7: 'needs-waypoint',
  principal: 'foreign-principal',
  warning: 'not-as-written',
};

/** What parsing finds has no remark. */
const codeOf = ({ remark, severity }: Problem): LintCode =>
  codes[remark ?? (severity === 'error' ? 'unreadable' : 'warning')];

function byPosition(a: SourcePosition | undefined, b: SourcePosition | undefined): number {
  if (a === undefined || b === undefined) return Number(a === undefined) - Number(b === undefined);
  if (a.file !== b.file) return a.file < b.file ? -1 : 1;
  return a.line - b.line || a.column - b.column;
}
