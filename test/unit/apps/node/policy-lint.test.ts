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

  it('judges whom a NetworkPolicy lets through by the labels of namespaces that it is given', () => {
    const team = { namespaceSelector: { matchLabels: { team: 'web' } } };
    const ingress = [
      { from: [team], ports: [{ port: 80 }] },
      { from: [{ podSelector: {} }, { ipBlock: { cidr: '203.0.113.0/24' } }], ports: [{ port: 15008 }] },
    ];
    const given = JSON.parse(networkPolicy({ podSelector: {}, ingress })) as object;
    const mesh = meshOf({
      workloads: [
        pod('shop/db', { ips: ['10.0.0.2'], labels: { app: 'db' } }),
        pod('front/web', { ips: ['10.0.0.3'] }),
      ],
    });
    const found = (namespaces: readonly object[]) =>
      lintInForce(mesh.view, [], JSON.stringify({ ...given, namespaces })).map(({ message }) => message);
    expect(found([{ name: 'front', labels: { team: 'web' } }])).toEqual([
      expect.stringMatching(/not open for pod db of the mesh, from front\/web, which/),
    ]);
    expect(found([{ name: 'front' }])).toEqual([]);
  });

  it('refuses what is no list of NetworkPolicies', () => {
    for (const text of [
      'nonsense',
      '[]',
      '{"items": [1]}',
      '{"items": [], "namespaces": [{}]}',
      networkPolicy({ ingress: 'all' }),
    ]) {
      expect(() => codes(text)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
    }
  });
});
