import { describe, expect, it } from '@jest/globals';
import { errorCodes, type ErrorCode } from '../../../../src/base/errors.ts';
import { connectRefused, hboneStatus } from '../../../../src/net/tunnel/hbone-status.ts';

const by = (status: number): string[] =>
  Object.keys(errorCodes).filter((code) => hboneStatus(code as ErrorCode) === status);

describe('HBONE statuses', () => {
  it('answers bad requests with 400, refusals by policy with 401, and everything else with 503', () => {
    expect(by(400).toSorted()).toEqual(['BAD_CONNECT', 'H2_PROTOCOL', 'RECURSIVE_CALL']);
    expect(by(401)).toEqual(['POLICY_DENIED']);
    expect(by(503)).toHaveLength(Object.keys(errorCodes).length - 4);
  });

  it.each(['400', '401', '503', '418', ''])('explains an answer of "%s"', (status) => {
    const error = connectRefused(status, '10.0.0.2:15008', '10.0.0.2:80');
    expect(error).toMatchObject({ code: 'CONNECT_REFUSED', details: { status } });
    expect(error.message).toContain('10.0.0.2:15008');
    expect(error.hint).toBeTruthy();
  });
});
