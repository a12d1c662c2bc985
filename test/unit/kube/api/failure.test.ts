import { describe, expect, it } from '@jest/globals';
import { asFailure, failureOf } from '../../../../src/kube/api/failure.ts';

const refused = (status: number, message = '') =>
  failureOf({
    verb: 'watch',
    resource: 'pods',
    httpStatus: status,
    body: { message },
    retryAfterMs: undefined,
  });

describe('a refusal of the API server', () => {
  it.each([
    [400, 'unsupported'],
    [401, 'unauthorized'],
    [403, 'forbidden'],
    [404, 'absent'],
    [405, 'unsupported'],
    [409, 'busy'],
    [410, 'expired'],
    [422, 'unsupported'],
    [429, 'busy'],
    [500, 'busy'],
    [504, 'busy'],
  ])('with status %d means "%s"', (status, reason) => {
    expect(refused(status).reason).toBe(reason);
  });

  it('for want of a permission says who may not do what, and how to find out more', () => {
    const said =
      'pods is forbidden: User "system:serviceaccount:mesh:node" cannot watch resource "pods" in API group ""';
    expect(refused(403, said)).toMatchObject({
      code: 'API_FORBIDDEN',
      message: 'service account mesh/node may not watch pods',
      hint: 'a role of the cluster must grant apiGroups: [""], resources: ["pods"], verbs: ["watch"]; kubectl auth can-i watch pods --as=system:serviceaccount:mesh:node must say yes then',
      details: { verb: 'watch', resource: 'pods', account: 'system:serviceaccount:mesh:node' },
    });
    expect(refused(403, 'no').message).toBe('the API server refused to watch pods: no');
  });

  it('is quoted in part only: it may be a page of HTML', () => {
    expect(refused(502, 'x'.repeat(10_000)).message.length).toBeLessThan(400);
  });
});

describe('anything else that goes wrong', () => {
  it('may pass', () => {
    expect(asFailure(new RangeError('too long'))).toMatchObject({
      reason: 'unavailable',
      message: 'an answer of the API server broke off: too long',
    });
  });
});
