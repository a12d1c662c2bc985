import { describe, expect, it } from '@jest/globals';
import { refusalError } from '../../../src/kube/api-refusal.ts';

const refused = (httpStatus: number, body: unknown) =>
  refusalError({ asked: 'get /api/v1/x', httpStatus, body });

describe('a refusal of the API server to a single request', () => {
  it.each([
    [401, 'API_FORBIDDEN', /credentials/],
    [404, 'NOT_FOUND', undefined],
    [409, 'CONFLICT', /look at it again/],
    [422, 'INVALID_MANIFEST', undefined],
    [503, 'UNAVAILABLE', /overloaded/],
    [504, 'TIMEOUT', /overloaded/],
  ])('with status %d is %s', (status, code, hint) => {
    const error = refused(status, { reason: 'X', message: 'because' });
    expect(error.code).toBe(code);
    expect(error.message).toMatch(
      /^the API server (refused to|answered 50[34] to ") ?.*get \/api\/v1\/x"?: because$/,
    );
    if (hint === undefined) expect(error.hint).toBeUndefined();
    else expect(error.hint).toMatch(hint);
  });

  it('because the object is there already is told from other conflicts', () => {
    expect(refused(409, { reason: 'AlreadyExists' }).code).toBe('ALREADY_EXISTS');
  });

  it('for want of a permission names account, verb, resource with its group, and the namespace', () => {
    const message =
      'events.events.k8s.io is forbidden: User "system:serviceaccount:mesh-ebpf-system:mesh-ebpf-node" cannot ' +
      'create resource "events" in API group "events.k8s.io" in the namespace "shop"';
    expect(refused(403, { reason: 'Forbidden', message })).toMatchObject({
      code: 'API_FORBIDDEN',
      message:
        'service account mesh-ebpf-system/mesh-ebpf-node may not create events.events.k8s.io in namespace shop',
      hint: expect.stringContaining(
        'a role in shop must grant apiGroups: ["events.k8s.io"], resources: ["events"], verbs: ["create"]',
      ),
      details: { verb: 'create', resource: 'events.events.k8s.io' },
    });
  });

  it('that is no Status of Kubernetes is shown as it is', () => {
    expect(refused(403, { message: '<html>no</html>' })).toMatchObject({
      code: 'API_FORBIDDEN',
      message: 'the API server refused to get /api/v1/x: <html>no</html>',
    });
    expect(refused(502, undefined).message).toContain('answered 502');
  });
});
