/** What an API server's refusal means for the one who follows it, and for the person who has to mend it. Pure. */
import { type ErrorCode, MeshError } from '../../base/errors.ts';

/**
 * `expired`: the state must be read anew. `forbidden`: a permission is missing. `unauthorized`: the credentials are
 * not accepted. `absent`: the server does not know the kind. `unsupported`: it does not know the way of asking.
 * `busy`: it answers that it cannot now. `unavailable`: no answer, a broken one, or silence; it may be another server
 * that answers next.
 */
export type FailureReason =
  'expired' | 'forbidden' | 'unauthorized' | 'absent' | 'unsupported' | 'busy' | 'unavailable';

export class ApiFailure extends MeshError {
  readonly reason: FailureReason;
  readonly retryAfterMs: number | undefined;

  constructor(
    reason: FailureReason,
    message: string,
    options: { hint?: string; cause?: unknown; retryAfterMs?: number | undefined } = {},
  ) {
    super(codeOf(reason), message, options);
    this.reason = reason;
    this.retryAfterMs = options.retryAfterMs;
  }
}

const codeOf = (reason: FailureReason): ErrorCode =>
  reason === 'forbidden' || reason === 'unauthorized' ? 'API_FORBIDDEN' : 'API_UNAVAILABLE';

/** Anything thrown while asking, as a failure. */
export function asFailure(thrown: unknown): ApiFailure {
  if (thrown instanceof ApiFailure) return thrown;
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  const hint = thrown instanceof MeshError ? thrown.hint : undefined;
  return new ApiFailure('unavailable', `an answer of the API server broke off: ${message}`, {
    cause: thrown,
    ...(hint === undefined ? {} : { hint }),
  });
}

export interface Refusal {
  readonly verb: 'list' | 'watch';
  /** `pods`, `authorizationpolicies.security.istio.io`. */
  readonly resource: string;
  readonly status: number;
  /** The text of the answer's Status object, or of the answer; '' if there is none. */
  readonly message: string;
  readonly retryAfterMs: number | undefined;
}

export function failureOf(refusal: Refusal): ApiFailure {
  const { status, resource, verb, retryAfterMs } = refusal;
  const said = refusal.message === '' ? '' : `: ${refusal.message.slice(0, 300)}`;
  switch (status) {
    case 400:
    case 422:
      return new ApiFailure('unsupported', `the API server does not understand "${verb} ${resource}"${said}`);
    case 401:
      return new ApiFailure('unauthorized', `the API server does not accept this node’s credentials${said}`, {
        hint: 'is the token expired, or of another cluster?',
      });
    case 403:
      return forbidden(refusal);
    case 404:
      return new ApiFailure('absent', `the API server does not know ${resource}`);
    case 410:
      return new ApiFailure('expired', `the API server has forgotten the version that was known${said}`);
    default:
      return new ApiFailure('busy', `the API server answered ${status} to "${verb} ${resource}"${said}`, {
        retryAfterMs,
      });
  }
}

/** Names who lacks which verb on what, as far as the server's own sentence tells. */
function forbidden({ verb, resource, message }: Refusal): ApiFailure {
  const user = /User "([^"]{1,300})"/.exec(message)?.[1];
  const who =
    user?.replace(/^system:serviceaccount:([^:]+):([^:]+)$/, 'service account $1/$2') ?? 'this node';
  const as = user === undefined ? '' : ` --as=${user}`;
  return new ApiFailure('forbidden', `${who} may not ${verb} ${resource}`, {
    hint: `apply the ClusterRole of mesh-ebpf again; kubectl auth can-i ${verb} ${resource}${as} must say yes`,
  });
}
