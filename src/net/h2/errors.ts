/**
 * HTTP/2 error codes and how a violation is told: whatever reads the peer's frames throws an `H2Violation` when the
 * connection cannot go on; the session alone catches it, sends GOAWAY and tells its owner. What breaks one stream
 * only is no exception: the session resets that stream.
 */
import { MeshError } from '../../base/errors.ts';

/** RFC 9113 §7. */
export const errorCode = {
  noError: 0x0,
  protocolError: 0x1,
  internalError: 0x2,
  flowControlError: 0x3,
  settingsTimeout: 0x4,
  streamClosed: 0x5,
  frameSizeError: 0x6,
  refusedStream: 0x7,
  cancel: 0x8,
  compressionError: 0x9,
  connectError: 0xa,
  enhanceYourCalm: 0xb,
  inadequateSecurity: 0xc,
  http11Required: 0xd,
} as const;

/** Any 32-bit value may arrive; unknown ones have no special meaning (RFC 9113 §7). */
export type ErrorCode = number;

const names = new Map<number, string>(
  Object.entries(errorCode).map(([name, code]) => [
    code,
    name.replaceAll(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase(),
  ]),
);

/** `FLOW_CONTROL_ERROR`, or `0x17` for a code nobody registered. */
export const describeErrorCode = (code: ErrorCode): string => names.get(code) ?? `0x${code.toString(16)}`;

/** A rule broken by the peer, which ends the connection with `h2Code`. */
export class H2Violation extends MeshError {
  readonly h2Code: ErrorCode;

  constructor(h2Code: ErrorCode, reason: string) {
    super(...violation(h2Code, reason));
    this.h2Code = h2Code;
  }
}

/** The same for one stream: what `onReset` tells the owner. */
export const streamViolation = (h2Code: ErrorCode, reason: string): MeshError =>
  new MeshError(...violation(h2Code, reason));

function violation(code: ErrorCode, reason: string): ConstructorParameters<typeof MeshError> {
  return [meshCode(code), `${describeErrorCode(code)}: ${reason}`, { hint: hints[meshCode(code)] }];
}

type ViolationCode = 'H2_PROTOCOL' | 'H2_FLOW_CONTROL' | 'H2_LIMIT';

const hints: Readonly<Record<ViolationCode, string>> = {
  H2_PROTOCOL: 'check what software answers there: the peer does not speak HTTP/2 as RFC 9113 has it',
  H2_FLOW_CONTROL: 'the peer sends more than it was allowed to; check its version',
  H2_LIMIT: 'the peer behaves like an attacker; if it is not one, raise the limit',
};

function meshCode(code: ErrorCode): ViolationCode {
  if (code === errorCode.flowControlError) return 'H2_FLOW_CONTROL';
  return code === errorCode.enhanceYourCalm ? 'H2_LIMIT' : 'H2_PROTOCOL';
}
