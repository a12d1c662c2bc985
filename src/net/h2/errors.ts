/**
 * HTTP/2 error codes and how a violation is told: the decoder and the state machine throw an `H2Violation`, and the
 * session alone catches it, answers the peer (GOAWAY or RST_STREAM) and tells its owner in a `MeshError`.
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

/** A rule broken by the peer. With `stream` only that stream ends, else the connection. */
export class H2Violation extends MeshError {
  readonly h2Code: ErrorCode;
  readonly stream: number | undefined;

  constructor(h2Code: ErrorCode, message: string, stream?: number) {
    super(meshCode(h2Code), `${describeErrorCode(h2Code)}: ${message}`);
    this.h2Code = h2Code;
    this.stream = stream;
  }
}

function meshCode(code: ErrorCode): 'H2_PROTOCOL' | 'H2_FLOW_CONTROL' | 'H2_LIMIT' {
  if (code === errorCode.flowControlError) return 'H2_FLOW_CONTROL';
  return code === errorCode.enhanceYourCalm ? 'H2_LIMIT' : 'H2_PROTOCOL';
}
