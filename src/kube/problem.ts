/**
 * What is wrong with a manifest, as data: where, which field, what was expected. Parsing and translation collect
 * problems instead of throwing, so that a person sees all of them at once; the CLI, logs and tests print the same
 * sentence through `formatProblem`.
 */

/** A place in a text, 1-based as editors count. */
export interface SourcePosition {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

/** `kind`, `namespace` ('' for a kind that has none) and `name` of the object at fault, as far as they are known. */
export interface ObjectReference {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
}

export interface Problem {
  /** `error`: the object, or its newest version, is not in force. `warning`: it is, with the caveat given. */
  readonly severity: 'error' | 'warning';
  readonly object: ObjectReference | undefined;
  /** undefined for objects that come from an API, not from a file. */
  readonly position: SourcePosition | undefined;
  /** `spec.ports[0].port`; empty when the object or file as a whole is meant. */
  readonly field: string;
  /** What was expected and what was found, one sentence without a full stop. */
  readonly message: string;
  readonly hint: string | undefined;
  /** Of policies: what kind of a problem it is. */
  readonly remark?: RemarkType;
}

/**
 * `unreadable`: a mistake in it. `l7`: nobody but a waypoint can check it. `principal`: a name that can be nobody's.
 * `warning`: in force, with the caveat given.
 */
export type RemarkType = 'unreadable' | 'l7' | 'principal' | 'warning';

/** A problem with a file, or a directory, as a whole. */
export const fileProblem = (file: string, message: string): Problem => ({
  severity: 'error',
  object: undefined,
  position: { file, line: 1, column: 1 },
  field: '',
  message,
  hint: undefined,
});

/** A path of keys and indexes into a manifest. */
export type FieldPath = readonly (string | number)[];

/** `['spec', 'ports', 0, 'port']` as `spec.ports[0].port`; keys that are no identifiers as `["istio.io/x"]`. */
export function formatField(path: FieldPath): string {
  return path
    .map((step) => {
      if (typeof step === 'number') return `[${step}]`;
      return /^[\w$-]+$/.test(step) ? `.${step}` : `[${JSON.stringify(step)}]`;
    })
    .join('')
    .replace(/^\./, '');
}

/** The path that `formatField` wrote; what it cannot have written ends the path. */
export function parseField(text: string): FieldPath {
  const steps = text.matchAll(/(?:\[(\d+)\]|\[("(?:[^"\\]|\\.)*")\]|\.?([\w$-]+))/gy);
  return [...steps].map(([, index, quoted, name]) => {
    if (index !== undefined) return Number(index);
    return quoted === undefined ? (name ?? '') : String(JSON.parse(quoted));
  });
}

const formatPosition = (at: SourcePosition): string => `${at.file}:${at.line}:${at.column}`;

const formatReference = ({ kind, namespace, name }: ObjectReference): string =>
  `${kind.toLowerCase()}/${namespace === '' ? '' : `${namespace}/`}${name}`;

/** One line: `web.yaml:12:9: service/shop/web: spec.ports[0].port: expected … (did you mean …?)`. */
export function formatProblem(problem: Problem): string {
  const { position, object, field, message, hint } = problem;
  const parts = [
    ...(position === undefined ? [] : [formatPosition(position)]),
    ...(problem.severity === 'warning' ? ['warning'] : []),
    ...(object === undefined ? [] : [formatReference(object)]),
    ...(field === '' ? [] : [field]),
    hint === undefined ? message : `${message} (${hint})`,
  ];
  return parts.join(': ');
}
