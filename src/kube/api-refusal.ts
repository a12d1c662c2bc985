/**
 * What an API server's refusal means, for programs and for the person who has to mend it: the one place that reads its
 * status codes and its sentences. Pure. Source: the API conventions' table of status codes and `metav1.Status`.
 */
import { type ErrorCode, MeshError } from '../base/errors.ts';

/**
 * `expired`: the state must be read anew. `forbidden`: a permission is missing. `unauthorized`: the credentials are
 * not accepted. `absent`: there is no such thing, or no such kind. `unsupported`: it does not know the way of asking.
 * `invalid`: it does not take what was sent. `conflict`: somebody else was faster. `busy`: it cannot now.
 */
export type RefusalReason =
  'expired' | 'forbidden' | 'unauthorized' | 'absent' | 'unsupported' | 'invalid' | 'conflict' | 'busy';

/** An answer that is not 2xx. */
export interface Refusal {
  /** `watch pods`, `get /api/v1/nodes/a`: for people, and for when the answer does not say. */
  readonly asked: string;
  readonly httpStatus: number;
  /** What came with it, parsed if it was JSON, else its text as `message`. */
  readonly body: unknown;
}

export interface Meaning {
  readonly reason: RefusalReason;
  readonly code: ErrorCode;
  /** Who was refused what, and why. */
  readonly message: string;
  readonly hint: string | undefined;
  /** `verb`, `resource` and `account` where a permission is missing. */
  readonly details: Readonly<Record<string, string | number>>;
}

const meanings: Readonly<Record<number, readonly [RefusalReason, ErrorCode]>> = {
  400: ['unsupported', 'INVALID_ARGUMENT'],
  401: ['unauthorized', 'API_FORBIDDEN'],
  403: ['forbidden', 'API_FORBIDDEN'],
  404: ['absent', 'NOT_FOUND'],
  405: ['unsupported', 'UNSUPPORTED'],
  406: ['unsupported', 'UNSUPPORTED'],
  408: ['busy', 'TIMEOUT'],
  409: ['conflict', 'CONFLICT'],
  410: ['expired', 'CONFLICT'],
  413: ['invalid', 'INVALID_MANIFEST'],
  415: ['unsupported', 'UNSUPPORTED'],
  422: ['invalid', 'INVALID_MANIFEST'],
  504: ['busy', 'TIMEOUT'],
};

export function meaningOf({ asked, httpStatus, body }: Refusal): Meaning {
  const { reason: said = '', message = '' } = statusOf(body);
  const [reason, usual] = meanings[httpStatus] ?? (['busy', 'UNAVAILABLE'] as const);
  const code = said === 'AlreadyExists' ? 'ALREADY_EXISTS' : usual;
  const missing = reason === 'forbidden' ? missingPermission(message) : undefined;
  return {
    reason,
    code,
    message: missing === undefined ? wordsFor(reason, { asked, httpStatus }, message) : sentenceOf(missing),
    hint: missing === undefined ? hints[reason] : ruleFor(missing),
    details: {
      httpStatus,
      reason: said,
      ...(missing === undefined
        ? {}
        : { verb: missing.verb, resource: resourceOf(missing), account: missing.user }),
    },
  };
}

const hints: Readonly<Partial<Record<RefusalReason, string>>> = {
  unauthorized: 'the credentials are missing, expired or of another cluster; get new ones',
  forbidden: 'kubectl auth can-i --list shows what this account may do',
  conflict: 'somebody else changed the object; look at it again and repeat',
  busy: 'the API server is overloaded or restarting; try again',
};

/** The fields of a `metav1.Status` that matter; every one may be missing in what a proxy answers. */
interface ApiStatus {
  readonly reason?: string;
  readonly message?: string;
}

/** The fields of a `metav1.Status` that matter; every one may be missing in what a proxy answers. */
interface ApiStatus {
  readonly reason?: string;
  readonly message?: string;
}

/** Read, and shown: what something in between answers may be a page of HTML. */
const longest = { read: 2000, shown: 300 };

/** A server that cannot now has refused nothing. */
function wordsFor(
  reason: RefusalReason,
  { asked, httpStatus }: Omit<Refusal, 'body'>,
  message: string,
): string {
  const said = message.slice(0, longest.shown);
  if (reason !== 'busy') return `the API server refused to ${asked}: ${said || `HTTP ${httpStatus}`}`;
  return `the API server answered ${httpStatus} to "${asked}"${said === '' ? '' : `: ${said}`}`;
}

function statusOf(body: unknown): ApiStatus {
  if (typeof body !== 'object' || body === null) return {};
  const { reason, message } = body as Record<string, unknown>;
  return {
    ...(typeof reason === 'string' ? { reason } : {}),
    ...(typeof message === 'string' ? { message: message.slice(0, longest.read) } : {}),
  };
}

interface MissingPermission {
  /** `system:serviceaccount:NAMESPACE:NAME`, or a person. */
  readonly user: string;
  readonly verb: string;
  /** `pods`, `pods/exec`. */
  readonly plural: string;
  readonly group: string;
  /** Undefined: in the whole cluster. */
  readonly namespace: string | undefined;
}

/** `… User "x" cannot get resource "secrets" in API group "" in the namespace "y"`. */
const sentence =
  /User "([^"]+)" cannot (\S+) resource "([^"]+)"(?: in API group "([^"]*)")?(?: in the namespace "([^"]+)")?/;

function missingPermission(message: string): MissingPermission | undefined {
  const [, user, verb, plural, group = '', namespace] = sentence.exec(message) ?? [];
  if (user === undefined || verb === undefined || plural === undefined) return undefined;
  return { user, verb, plural, group, namespace };
}

/** As kubectl names it: `pods`, `authorizationpolicies.security.istio.io`. */
const resourceOf = ({ plural, group }: MissingPermission): string =>
  group === '' ? plural : `${plural}.${group}`;

function sentenceOf(missing: MissingPermission): string {
  const { user, verb, namespace } = missing;
  const who = user.replace(/^system:serviceaccount:([^:]+):([^:]+)$/, 'service account $1/$2');
  const where = namespace === undefined ? '' : ` in namespace ${namespace}`;
  return `${who} may not ${verb} ${resourceOf(missing)}${where}`;
}

function ruleFor(missing: MissingPermission): string {
  const { user, verb, plural, group, namespace } = missing;
  const role = `a role ${namespace === undefined ? 'of the cluster' : `in ${namespace}`}`;
  const rule = `apiGroups: ["${group}"], resources: ["${plural}"], verbs: ["${verb}"]`;
  const place = namespace === undefined ? '' : ` -n ${namespace}`;
  const check = `kubectl auth can-i ${verb} ${resourceOf(missing)}${place} --as=${user}`;
  return `${role} must grant ${rule}; ${check} must say yes then`;
}

/** For whoever asks once. */
export function refusalError(refusal: Refusal): MeshError {
  const { code, message, hint, details } = meaningOf(refusal);
  return new MeshError(code, message, { ...(hint === undefined ? {} : { hint }), details });
}
