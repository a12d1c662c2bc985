import { describe, expect, it } from '@jest/globals';
import { MeshError, type ErrorCode } from '../../../../src/base/errors.ts';
import { failureOf } from '../../../../src/net/tunnel/hop-of.ts';

describe('where a connection failed', () => {
  it.each<[ErrorCode, string]>([
    ['RECURSIVE_CALL', 'capture'],
    ['POLICY_DENIED', 'policy'],
    ['CERTIFICATE_UNAVAILABLE', 'certificate'],
    ['DIAL_FAILED', 'dial'],
    ['PEER_IDENTITY', 'tls'],
    ['H2_PROTOCOL', 'h2'],
    ['CONNECT_REFUSED', 'peer'],
    ['APPLICATION_RESET', 'application'],
    ['POD_REMOVED', 'relay'],
    ['TIMEOUT', 'relay'],
  ])('%s: %s', (code, hop) => {
    const error = new MeshError(code, 'x');
    expect(failureOf(error)).toEqual({ hop, error });
  });
});
