/** What keeps somebody who follows the API server from doing so, and what the follower should do about it. Pure. */
import { type ErrorCode, MeshError, type MeshErrorOptions } from '../../base/errors.ts';
import { meaningOf, type RefusalReason } from '../api-refusal.ts';

/** `unavailable`: no answer, a broken one, or silence; it may be another server that answers next. */
export type FailureReason = RefusalReason | 'unavailable';

export class ApiFailure extends MeshError {
  readonly reason: FailureReason;
  readonly retryAfterMs: number | undefined;

  constructor(
    reason: FailureReason,
    message: string,
    options: MeshErrorOptions & { readonly retryAfterMs?: number | undefined } = {},
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

/** A list or a watch that was refused. */
export interface RefusedRead {
  readonly verb: 'list' | 'watch';
  /** `pods`, `authorizationpolicies.security.istio.io`. */
  readonly resource: string;
  readonly httpStatus: number;
  /** What came with it, parsed if it was JSON, else its text as `message`. */
  readonly body: unknown;
  readonly retryAfterMs: number | undefined;
}

export function failureOf({ verb, resource, httpStatus, body, retryAfterMs }: RefusedRead): ApiFailure {
  const meaning = meaningOf({ asked: `${verb} ${resource}`, httpStatus, body });
  const reason = ofReader[meaning.reason] ?? meaning.reason;
  const message = reason === 'absent' ? `the API server does not know ${resource}` : meaning.message;
  const { hint, details } = meaning;
  return new ApiFailure(reason, message, { ...(hint === undefined ? {} : { hint }), details, retryAfterMs });
}

/** Who only reads sends nothing that could be wrong but the way of asking, and is in nobody's way. */
const ofReader: Partial<Record<RefusalReason, RefusalReason>> = { invalid: 'unsupported', conflict: 'busy' };
