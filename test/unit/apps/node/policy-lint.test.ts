import { describe, expect, it } from '@jest/globals';
import { lintInForce } from '../../../../src/apps/node/policy-lint.ts';
import type { Problem } from '../../../../src/kube/problem.ts';
import { meshOf, pod } from '../../../support/mesh-builder.ts';

const { view } = meshOf({ workloads: [pod('shop/db', { ips: ['10.0.0.2'], labels: { app: 'db' } })] });

const problem = (kind: string, extra: Partial<Problem> = {}): Problem => ({
  severity: 'error',
  object: { kind, namespace: 'shop', name: 'db' },
  position: undefined,
  field: 'spec.rules[0]',
  message: 'it is wrong',
  hint: undefined,
  ...extra,
});

const networkPolicy = (spec: object): string =>
  JSON.stringify({
    items: [
      {
        apiVersion: 'networking.k8s.io/v1',
        kind: 'NetworkPolicy',
        metadata: { name: 'db', namespace: 'shop' },
        spec,
      },
    ],
  });

const codes = (networkPolicies: string): readonly string[] =>
  lintInForce(view, [], networkPolicies).map(({ code, field }) => `${code} ${field}`);

describe('lint of the policies in force', () => {
  it('tells what translation found wrong with policies, and with nothing else', () => {
    const problems = [
      problem('AuthorizationPolicy', { remark: 'l7', severity: 'warning' }),
      problem('PeerAuthentication'),
      problem('Pod'),
    ];
    expect(lintInForce(view, problems, '')).toMatchObject([
      {
        code: 'needs-waypoint',
        severity: 'error',
        kind: 'AuthorizationPolicy',
        namespace: 'shop',
        name: 'db',
      },
      { code: 'invalid', severity: 'error', kind: 'PeerAuthentication' },
    ]);
  });

  it.each([
    [
      'ingress by default',
      { podSelector: {}, ingress: [{ ports: [{ port: 80 }] }] },
      ['blocks-hbone spec.ingress'],
    ],
    [
      'egress if it has rules',
      { egress: [{ ports: [{ port: 53, protocol: 'UDP' }] }] },
      ['blocks-hbone spec.egress'],
    ],
    [
      'what its types say',
      {
        policyTypes: ['Egress'],
        ingress: [{ ports: [{ port: 80 }] }],
        egress: [{ ports: [{ port: 'http' }] }],
      },
      ['blocks-hbone spec.egress', 'blocks-dns spec.egress'],
    ],
    ['all ports with an empty list', { ingress: [{ ports: [] }] }, []],
    [
      'the pods of its selector',
      {
        podSelector: { matchExpressions: [{ key: 'app', operator: 'NotIn', values: ['db'] }] },
        ingress: [{ ports: [{ port: 80 }] }],
      },
      [],
    ],
  ])('takes NetworkPolicies for %s', (_, spec, expected) => {
    expect(codes(networkPolicy(spec))).toEqual(expected);
  });

  it('refuses what is no list of NetworkPolicies', () => {
    for (const text of ['nonsense', '[]', '{"items": [1]}', networkPolicy({ ingress: 'all' })]) {
      expect(() => codes(text)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
    }
  });
});
