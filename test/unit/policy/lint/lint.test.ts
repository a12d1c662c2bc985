import { describe, expect, it } from '@jest/globals';
import { parsePort, parsePrefix } from '../../../../src/base/ip.ts';
import { serviceKey } from '../../../../src/model/mesh.ts';
import {
  type AuthorizationPolicy,
  type PeerAuthentication,
  peerAuthenticationKey,
} from '../../../../src/model/policy.ts';
import { pod } from '../../../support/mesh-builder.ts';
import { authorization, brief, briefOf, found } from './linting.ts';

describe('policies that are as they should be', () => {
  it('have no findings', () => {
    expect(briefOf(authorization('db'))).toEqual([]);
  });
});

describe('policies that never match', () => {
  it('are found by their selector', () => {
    expect(briefOf(authorization('db', { scope: { type: 'selector', labels: { app: 'dbb' } } }))).toEqual([
      'selects-nobody spec.selector',
    ]);
  });

  it('are found by a namespace without pods', () => {
    const nowhere = { scope: { type: 'namespace' } } as const;
    expect(brief(found({ policies: [authorization('all', nowhere, 'shp')] }))).toEqual([
      'selects-nobody metadata.namespace',
    ]);
  });

  it('are found by a Service that is not there, or has no endpoints', () => {
    const services = [serviceKey('shop', 'nope')];
    const [one] = found({ policies: [authorization('db', { scope: { type: 'services', services } })] });
    expect(one).toMatchObject({ code: 'selects-nobody', field: 'spec.targetRefs' });
    expect(one?.message).toBe('there is no Service shop/nope');
  });

  it('are found by pods outside the mesh, for whom nothing is enforced', () => {
    const policies = [authorization('all', { scope: { type: 'namespace' } }, 'old')];
    expect(brief(found({ policies }))).toEqual(['not-in-mesh metadata.namespace']);
  });

  it('are found by sources: no such namespace, no such identity, or not in the mesh', () => {
    const rules = [
      {
        from: [
          { namespaces: ['shop', 'shpo', 'old', 'sh*', 'x*'] },
          {
            principals: [
              'cluster.local/ns/shop/sa/web',
              'cluster.local/ns/shop/sa/wbe',
              'cluster.local/ns/old/sa/legacy',
              '*/sa/web',
              '*/sa/nobody',
            ],
          },
          { serviceAccounts: ['shop/web', 'shop/nobody', 'old/legacy'] },
        ],
        to: [{ ports: [parsePort(5432)] }],
      },
    ];
    expect(briefOf(authorization('db', { rules }))).toEqual([
      'unknown-namespace spec.rules[0].from[0].source.namespaces[1]',
      'unmeshed-source spec.rules[0].from[0].source.namespaces[2]',
      'unknown-namespace spec.rules[0].from[0].source.namespaces[4]',
      'unknown-identity spec.rules[0].from[1].source.principals[1]',
      'unmeshed-source spec.rules[0].from[1].source.principals[2]',
      'unknown-identity spec.rules[0].from[1].source.principals[4]',
      'unknown-identity spec.rules[0].from[2].source.serviceAccounts[1]',
      'unmeshed-source spec.rules[0].from[2].source.serviceAccounts[2]',
    ]);
  });

  it('are found by a port that nobody serves, with the Service’s port told from the pods’ own', () => {
    const rules = [
      {
        from: [{ namespaces: ['shop'] }],
        to: [{ ports: [parsePort(80), parsePort(5432), parsePort(9999)] }],
      },
    ];
    const findings = found({ policies: [authorization('db', { rules })] });
    expect(brief(findings)).toEqual([
      'unserved-port spec.rules[0].to[0].operation.ports[0]',
      'unserved-port spec.rules[0].to[0].operation.ports[2]',
    ]);
    expect(findings[0]).toMatchObject({ hint: 'write "5432"' });
    expect(findings[1]?.message).toBe('the pods it is for serve 5432, not 9999');
  });

  it('are not found by ports where it is not known what pods serve', () => {
    const rules = [{ from: [{ namespaces: ['shop'] }], to: [{ ports: [parsePort(9999)] }] }];
    const policies = [authorization('db', { rules })];
    expect(found({ policies }, { declaredPorts: undefined })).toEqual([]);
    expect(found({ policies, services: [] })).toEqual([]);
  });

  it('are not looked for where no pod is known', () => {
    const policies = [authorization('db')];
    expect(found({ policies, workloads: [], services: [] }, { complete: false })).toEqual([]);
    expect(brief(found({ policies, workloads: [], services: [] }))).toContain('selects-nobody spec.selector');
  });

  it('point into “when” as well', () => {
    const rules = [{ when: [{ namespaces: ['nope'], notNamespaces: ['neither'] }] }];
    expect(briefOf(authorization('db', { rules }))).toEqual([
      'unknown-namespace spec.rules[0].when[0].values[0]',
      'unknown-namespace spec.rules[0].when[0].notValues[0]',
    ]);
  });
});

const peerAuthenticationOf = (name: string, createdAt: string): PeerAuthentication => ({
  key: peerAuthenticationKey('shop', name),
  namespace: 'shop',
  name,
  createdAt,
  scope: { type: 'namespace' },
  mode: 'strict',
  ports: new Map(),
});

describe('contradictions', () => {
  it.each([
    [{ from: [{ namespaces: ['shop'], notNamespaces: ['sh*'] }] }, 'from[0].source.namespaces'],
    [
      { from: [{ principals: ['cluster.local/ns/shop/sa/web'], namespaces: ['old'] }] },
      'from[0].source.principals',
    ],
    [
      { from: [{ serviceAccounts: ['shop/web'], notNamespaces: ['shop'] }] },
      'from[0].source.serviceAccounts',
    ],
    [
      { to: [{ ports: [parsePort(5432)], notPorts: [parsePort(5432)] }], from: [{ namespaces: ['shop'] }] },
      'to[0].operation.ports',
    ],
    [
      { from: [{ ipBlocks: [parsePrefix('10.1.0.0/16')], notIpBlocks: [parsePrefix('10.0.0.0/8')] }] },
      'from[0].source.ipBlocks',
    ],
    [
      { from: [{ namespaces: ['shop'] }, { namespaces: ['old'] }], when: [{ namespaces: ['shop'] }] },
      'from[1].source.namespaces',
    ],
  ])('are found within a rule: %j', (rule, at) => {
    const findings = briefOf(authorization('db', { rules: [rule] })).filter((each) =>
      each.startsWith('contradictory'),
    );
    expect(findings).toEqual([`contradictory-rule spec.rules[0].${at}`]);
  });

  it('are not found where values overlap', () => {
    const rule = { from: [{ namespaces: ['shop', 'old'], notNamespaces: ['old'] }] };
    expect(briefOf(authorization('db', { rules: [rule] }))).not.toContainEqual(
      expect.stringMatching(/^contradictory/),
    );
  });

  it('are found between PeerAuthentications for the same pods', () => {
    const peerAuthentications = [
      peerAuthenticationOf('new', '2026-02-01T00:00:00Z'),
      peerAuthenticationOf('old', '2026-01-01T00:00:00Z'),
    ];
    const [one, ...more] = found({ peerAuthentications });
    expect(more).toEqual([]);
    expect(one).toMatchObject({ code: 'competing-policies', object: { name: 'new' } });
  });
});

const deny = (extra: Partial<AuthorizationPolicy> = {}, namespace = 'shop'): AuthorizationPolicy =>
  authorization(
    'deny',
    { action: 'deny', rules: [{ from: [{ namespaces: ['shop'] }] }], ...extra },
    namespace,
  );

describe('rules that change nothing', () => {
  it('are ALLOW rules that a DENY covers', () => {
    const [one] = found({ policies: [authorization('db'), deny()] });
    expect(one).toMatchObject({ code: 'shadowed-by-deny', field: 'spec.rules[0]', object: { name: 'db' } });
    expect(one?.message).toBe('shop/deny rule 1 (DENY) covers all that this rule allows');
  });

  it('are ALLOW rules that a DENY of the root namespace covers', () => {
    expect(briefOf(authorization('db'), deny({ scope: { type: 'mesh' } }, 'istio-system'))).toContain(
      'shadowed-by-deny spec.rules[0]',
    );
  });

  it.each([
    ['is for other pods', deny({ scope: { type: 'selector', labels: { app: 'web' } } })],
    ['is in dry run', deny({ dryRun: true })],
    [
      'covers a part of it',
      deny({ rules: [{ from: [{ namespaces: ['shop'] }], to: [{ ports: [parsePort(5432)] }] }] }),
    ],
  ])('are no ALLOW rules of which a DENY %s', (_, other) => {
    expect(briefOf(authorization('db'), other)).not.toContainEqual(expect.stringMatching(/^shadowed/));
  });

  it('are rules that another one of the same action covers, and of equal ones the later', () => {
    const wide = authorization('wide', {
      scope: { type: 'namespace' },
      rules: [{ from: [{ namespaces: ['shop'] }] }],
    });
    expect(found({ policies: [authorization('db'), wide] })).toMatchObject([
      { code: 'redundant-rule', object: { name: 'db' } },
    ]);
    expect(found({ policies: [authorization('a'), authorization('b')] })).toMatchObject([
      { code: 'redundant-rule', object: { name: 'b' } },
    ]);
  });
});

const ruled = (rule: AuthorizationPolicy['rules'][number], action: AuthorizationPolicy['action'] = 'allow') =>
  briefOf(authorization('db', { action, rules: [rule] }));

describe('rules broader than meant', () => {
  it.each([
    [{}, 'allows-everything spec.rules[0]'],
    [{ to: [{ ports: [parsePort(5432)] }] }, 'any-source spec.rules[0]'],
    [{ from: [{ principals: ['*'] }] }, 'any-identity spec.rules[0].from[0].source.principals[0]'],
    [{ from: [{ notNamespaces: ['old'] }] }, 'allows-plaintext spec.rules[0]'],
  ])('allow %j', (rule, expected) => {
    expect(ruled(rule)).toContain(expected);
  });

  it('deny everything, too', () => {
    expect(ruled({}, 'deny')).toEqual(['denies-everything spec.rules[0]']);
  });

  it('are not those that allow nothing', () => {
    expect(briefOf(authorization('db', { rules: [] }))).toEqual([]);
  });
});

describe('many policies', () => {
  it('are linted in seconds: ten thousand of them, over ten thousand pods', () => {
    const pods = Array.from({ length: 10_000 }, (_, i) =>
      pod(`ns-${i % 100}/app-${i}`, {
        ips: [`10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`],
        labels: { app: `app-${i}` },
      }),
    );
    const policies = Array.from({ length: 10_000 }, (_, i) =>
      authorization(
        `p-${i}`,
        {
          action: i % 3 === 0 ? 'deny' : 'allow',
          scope: i % 10 === 0 ? { type: 'namespace' } : { type: 'selector', labels: { app: `app-${i}` } },
          rules: [
            {
              from: [
                { namespaces: [`ns-${(i * 7) % 100}`] },
                { principals: [`cluster.local/ns/ns-${i % 100}/sa/app-${i}`] },
              ],
            },
          ],
        },
        `ns-${i % 100}`,
      ),
    );
    const began = performance.now();
    found({ workloads: pods, services: [], policies });
    expect(performance.now() - began).toBeLessThan(20_000);
  });
});
