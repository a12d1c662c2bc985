/** What is told of a connection, in examples; that it is true is a property (`agreement.test.ts`). */
import { describe, expect, it } from '@jest/globals';
import { MeshError } from '../../../../src/base/errors.ts';
import { type AuthorizationPolicy, peerAuthenticationKey, policyKey } from '../../../../src/model/policy.ts';
import { createCompiler } from '../../../../src/policy/authorize.ts';
import { createExplainer, type ExplainerDeps } from '../../../../src/ztunnel/explanation/explanation.ts';
import { access, rule } from '../../../support/egress.ts';
import { meshOf, type MeshSpec, pod, service } from '../../../support/mesh-builder.ts';

const web = pod('shop/web-1', {
  ips: ['10.1.0.1', 'fd00::1'],
  serviceAccount: 'web',
  labels: { app: 'web' },
});
const deployment = { name: 'web', kind: 'deployment' };
const db = pod('shop/db-0', {
  ips: ['10.1.1.2'],
  node: 'node-b',
  serviceAccount: 'db',
  labels: { app: 'db' },
});
const db1 = pod('shop/db-1', {
  ips: ['10.1.1.3'],
  node: 'node-b',
  serviceAccount: 'db',
  labels: { app: 'db', old: 'yes' },
});
const hosted = {
  ...pod('kube-system/agent', { ips: ['192.168.0.2'], node: 'node-b', protocol: 'tcp' }),
  hostNetwork: true,
};

const world: MeshSpec = {
  workloads: [
    { ...web, owner: deployment },
    {
      ...pod('shop/web-2', { ips: ['10.1.0.9'], serviceAccount: 'web', labels: { app: 'web' } }),
      owner: deployment,
    },
    db,
    db1,
    hosted,
    pod('legacy/old', { ips: ['10.1.0.5'], protocol: 'tcp' }),
  ],
  services: [
    service('shop/db', '10.96.0.1', '5432:5433', [{ address: '10.1.1.2' }, { address: '10.1.1.3' }]),
    {
      ...service('shop/peers', '10.96.0.9', '7000:7000', [{ address: '10.1.1.2' }, { address: '10.1.1.3' }]),
      vips: [],
    },
    { ...service('shop/nobody', '10.96.0.8', '7000:7000', []), vips: [] },
    {
      ...service('shop/many', '10.96.0.7', '80:80', [{ address: '10.1.1.2' }]),
      ports: [
        { name: 'a', port: 80 as never, protocol: 'tcp' },
        { name: 'b', port: 81 as never, protocol: 'tcp' },
      ],
    },
  ],
};

const policy = (name: string, fields: Partial<AuthorizationPolicy>): AuthorizationPolicy => ({
  key: policyKey('shop', name),
  namespace: 'shop',
  name,
  action: 'deny',
  scope: { type: 'namespace' },
  rules: [{}],
  ...fields,
});

function ask(
  from: string,
  to: string,
  more: MeshSpec = {},
  deps: Partial<ExplainerDeps> = {},
  namespace?: string,
) {
  const explain = createExplainer({
    policySetFor: createCompiler(),
    enrolment: () => undefined,
    certificate: () => undefined,
    ...deps,
  });
  return explain(meshOf({ ...world, ...more }).view, {
    from,
    to,
    ...(namespace === undefined ? {} : { namespace }),
  });
}

describe('the way of a connection between pods of the mesh', () => {
  it('is told from the source to the application', () => {
    expect(ask('pod/shop/web-1', 'db.shop')).toMatchObject({
      source: { workload: 'shop/web-1', node: 'node-a', identity: web.identity },
      destination: { dialled: ['10.96.0.1:5432'], service: 'shop/db', transport: 'tcp' },
      capture: { captured: true, why: '10.96.0.1 is Service shop/db, which has endpoints in the mesh' },
      egress: null,
      ways: [
        {
          endpoints: [
            { address: '10.1.1.2:5433', workload: 'shop/db-0', node: 'node-b' },
            { address: '10.1.1.3:5433', workload: 'shop/db-1', node: 'node-b' },
          ],
          endpointCount: 2,
          path: 'hbone',
          pathWhy: 'mutual TLS to 10.1.1.2:15008',
          tls: {
            proves: web.identity,
            proof: 'certificate',
            expects: [db.identity],
            mode: 'permissive',
            policy: null,
          },
          policies: [],
        },
      ],
      outcome: 'allowed',
      verdict: { outcome: 'allowed', policy: null, reason: 'no policy applies', error: null },
    });
  });

  it('within a node is proved by the kernel, not by TLS, and passes where mutual TLS is wanted', () => {
    const strict = {
      key: peerAuthenticationKey('shop', 'default'),
      namespace: 'shop',
      name: 'default',
      scope: { type: 'namespace' },
      mode: 'strict',
      createdAt: '',
      ports: new Map(),
    } as const;
    const { ways } = ask(
      'shop/web-1',
      '10.1.0.9:80',
      { peerAuthentications: [strict] },
      { kernelPath: { node: web.node } },
    );
    expect(ways).toMatchObject([
      {
        path: 'kernel',
        tls: { proves: web.identity, proof: 'kernel', expects: [], mode: 'strict' },
        verdict: { outcome: 'allowed' },
      },
    ]);
  });

  it('names each policy, the clause that matched or what kept it from matching, and those for other pods', () => {
    const policies = [
      policy('no-bots', { rules: [{ from: [{ namespaces: ['bots'] }] }] }),
      policy('callers', { action: 'allow', rules: [{ from: [{ principals: ['*/sa/cart'] }] }] }),
      policy('for-web', { scope: { type: 'selector', labels: { app: 'web' } } }),
    ];
    const { outcome, ways, verdict } = ask('shop/web-1', 'db.shop', { policies });
    expect(outcome).toBe('denied');
    expect(ways[0]?.policies.map(({ policy: name, matches, sentence }) => [name, matches, sentence])).toEqual(
      [
        ['shop/no-bots', false, 'rule 1: source namespace shop is not in namespaces'],
        ['shop/callers', false, 'rule 1: source principal cluster.local/ns/shop/sa/web is not in principals'],
      ],
    );
    expect(ways[0]?.notForIt).toEqual([{ policy: 'shop/for-web', scope: 'app=web' }]);
    expect(verdict?.error).toMatchObject({
      code: 'POLICY_DENIED',
      hop: 'policy',
      message:
        'no ALLOW policy matches: shop/callers rule 1: source principal cluster.local/ns/shop/sa/web is not in principals',
    });
  });

  it('depends on the endpoint where policies choose only some of them, and tells of both', () => {
    const policies = [policy('no-old', { scope: { type: 'selector', labels: { old: 'yes' } } })];
    const { outcome, verdict, ways } = ask('shop/web-1', 'db.shop', { policies });
    expect([outcome, verdict]).toEqual(['depends', null]);
    expect(ways.map(({ endpoints, verdict: each }) => [endpoints[0]?.workload, each.outcome])).toEqual([
      ['shop/db-1', 'denied'],
      ['shop/db-0', 'allowed'],
    ]);
  });

  it('has the default of a NamespaceAccess, named as what decides', () => {
    const answer = ask('shop/web-1', 'db.shop', { access: [access('shop/locked', { inbound: 'deny' })] });
    expect(answer.verdict).toMatchObject({ outcome: 'denied', policy: 'namespaceaccess/shop/locked' });
    expect(answer.ways[0]?.inboundDefault).toMatchObject({ policy: 'namespaceaccess/shop/locked' });
  });

  it('is told of one pod of a workload, and says so', () => {
    const answer = ask('deploy/shop/web', 'pod/shop/db-0:5433');
    expect(answer.source.workload).toBe('shop/web-1');
    expect(answer.notes).toEqual(['"deploy/shop/web" is 2 pods: told of shop/web-1']);
  });

  it('of a headless Service goes to each address its name resolves to', () => {
    const answer = ask('shop/web-1', 'peers.shop');
    expect(answer.destination.dialled).toEqual(['10.1.1.2:7000', '10.1.1.3:7000']);
    expect(answer.ways[0]).toMatchObject({ endpointCount: 2, path: 'hbone' });
    expect(ask('shop/web-1', 'nobody.shop')).toMatchObject({
      outcome: 'failed',
      verdict: { error: { code: 'NO_HEALTHY_ENDPOINT', hop: 'resolve' } },
    });
  });

  it('is judged for somebody with an identity that no pod needs to have', () => {
    const policies = [
      policy('callers', { action: 'allow', rules: [{ from: [{ serviceAccounts: ['shop/cart'] }] }] }),
    ];
    expect(ask('sa/shop/cart', 'db.shop', { policies })).toMatchObject({
      outcome: 'allowed',
      source: { workload: null, identity: 'spiffe://cluster.local/ns/shop/sa/cart' },
    });
    expect(ask('sa/shop/cart', 'db.shop', { policies }).notes[0]).toContain('0.0.0.0');
    expect(ask('sa/shop/cart@10.9.9.9', 'db.shop', { policies })).toMatchObject({
      source: { address: '10.9.9.9' },
      notes: [],
    });
  });
});

describe('a connection that takes no tunnel', () => {
  const strict = {
    peerAuthentications: [
      {
        key: peerAuthenticationKey('shop', 'default'),
        namespace: 'shop',
        name: 'default',
        createdAt: '',
        scope: { type: 'namespace' },
        mode: 'strict',
        ports: new Map(),
      },
    ],
  } as const satisfies MeshSpec;

  it.each(['legacy/old', '203.0.113.9'])('from %s arrives as plaintext, which STRICT refuses', (from) => {
    expect(ask(from, 'db.shop', strict)).toMatchObject({
      capture: { captured: false },
      outcome: 'denied',
      ways: [
        {
          path: 'plaintext',
          tls: { proves: null, proof: null, mode: 'strict', policy: 'peerauthentication/shop/default' },
        },
      ],
    });
  });

  it('from the node of the pod reaches it directly, as probes do; from another node it is plaintext', () => {
    expect(ask('pod/kube-system/agent', 'pod/shop/db-0:80', strict)).toMatchObject({
      outcome: 'allowed',
      ways: [{ path: 'direct', tls: null }],
    });
    expect(ask('pod/kube-system/agent', 'pod/shop/web-1:80', strict)).toMatchObject({
      outcome: 'denied',
      ways: [{ path: 'plaintext' }],
    });
  });

  it('out of the mesh is judged by NamespaceAccess, TCP and UDP, and else goes its own way', () => {
    const locked = access('shop/locked', {
      egress: { default: 'deny', rules: [rule('allow', '203.0.113.0/24 443/tcp')] },
    });
    expect(ask('shop/web-1', '203.0.113.7:443')).toMatchObject({
      outcome: 'allowed',
      egress: null,
      ways: [{ path: 'direct' }],
    });
    expect(ask('shop/web-1', '203.0.113.7:443', { access: [locked] })).toMatchObject({
      outcome: 'allowed',
      egress: { outcome: 'allowed', policy: 'namespaceaccess/shop/locked' },
    });
    expect(ask('shop/web-1', '203.0.113.7:443/udp', { access: [locked] })).toMatchObject({
      outcome: 'denied',
      ways: [],
      verdict: {
        error: {
          message:
            'policy namespaceaccess/shop/locked: no rule allows 203.0.113.7:443/udp, and spec.egress.default is Deny',
        },
      },
    });
  });

  it('to the pod itself is nobody’s concern', () => {
    for (const to of ['10.1.0.1:80', '127.0.0.1:80']) {
      expect(ask('shop/web-1', to)).toMatchObject({ outcome: 'allowed', ways: [{ path: 'direct' }] });
    }
    expect(ask('shop/web-1', '127.0.0.1:15006')).toMatchObject({
      outcome: 'failed',
      verdict: { error: { code: 'RECURSIVE_CALL' } },
    });
  });
});

const outside = (name: string): Partial<ExplainerDeps> => ({
  enrolment: (workload) =>
    workload.name === name ? { enrolled: false, reason: 'no network namespace' } : { enrolled: true },
});

describe('what a node knows besides', () => {
  it('of a source that is not captured: its connections are plaintext', () => {
    expect(ask('shop/web-1', 'db.shop', {}, outside('web-1'))).toMatchObject({
      capture: { captured: false, why: expect.stringContaining('no network namespace') },
      ways: [{ path: 'plaintext' }],
    });
  });

  it('of a destination that is not captured: nobody takes the tunnel', () => {
    expect(ask('shop/web-1', 'pod/shop/db-0:80', {}, outside('db-0'))).toMatchObject({
      outcome: 'failed',
      ways: [{ path: null, verdict: { error: { code: 'DIAL_FAILED', hop: 'dial' } } }],
    });
    expect(ask('legacy/old', 'pod/shop/db-0:80', {}, outside('db-0'))).toMatchObject({
      outcome: 'allowed',
      ways: [{ path: 'direct', pathWhy: expect.stringContaining('no network namespace') }],
    });
  });

  it('of a certificate that is not there: no connection comes about', () => {
    const trouble = new MeshError('CERTIFICATE_UNAVAILABLE', 'the authority does not answer');
    const certificate = () => ({ state: 'failed', notAfter: null, trouble });
    expect(ask('shop/web-1', 'db.shop', {}, { certificate })).toMatchObject({
      outcome: 'failed',
      source: { certificate: { state: 'failed' } },
      verdict: { error: { code: 'CERTIFICATE_UNAVAILABLE', hop: 'certificate' } },
    });
  });
});

describe('a name that leads nowhere', () => {
  it.each([
    ['shop/wev-1', 'db.shop', 'NOT_FOUND', 'did you mean shop/web-1?'],
    ['svc/shop/db', 'db.shop', 'NOT_FOUND', 'name a pod'],
    ['shop/web-1', 'example.com:443', 'NOT_FOUND', 'give the address'],
    ['shop/web-1', 'many.shop', 'INVALID_ARGUMENT', '80/tcp, 81/tcp'],
    ['shop/web-1', 'pod/shop/db-0', 'INVALID_ARGUMENT', 'pod/shop/db-0:PORT'],
    ['shop/web-1', 'sa/shop/db:80', 'INVALID_ARGUMENT', 'name a Service'],
  ])('%s -> %s is %s', (from, to, code, hint) => {
    expect(() => ask(from, to)).toThrow(
      expect.objectContaining({ code, hint: expect.stringContaining(hint) }),
    );
  });

  it('does not, with the namespace that is meant', () => {
    expect(ask('web-1', 'db:5432', {}, {}, 'shop').outcome).toBe('allowed');
  });
});

describe('an answer about thousands', () => {
  it('of policies lists those that match and counts the rest', () => {
    const policies = Array.from({ length: 1000 }, (_, i) =>
      policy(`p${String(i).padStart(4, '0')}`, {
        rules: [{ from: [{ namespaces: [i === 999 ? 'shop' : 'bots'] }] }],
      }),
    );
    const [way] = ask('shop/web-1', 'db.shop', { policies }).ways;
    expect(way?.policies).toHaveLength(200);
    expect(way?.policiesOmitted).toBe(800);
    expect(way?.policies.at(-1)).toMatchObject({ policy: 'shop/p0999', matches: true });
  });

  it('of values and endpoints names some and counts the rest', () => {
    const principals = Array.from({ length: 10_000 }, (_, i) => `cluster.local/ns/x/sa/s${i}`);
    const workloads = [
      web,
      ...Array.from({ length: 100 }, (_, i) =>
        pod(`shop/db-${i}`, { ips: [`10.2.0.${i + 1}`], serviceAccount: 'db' }),
      ),
    ];
    const endpoints = workloads.slice(1).map(({ addresses: [address = ''] }) => ({ address }));
    const [way] = ask('shop/web-1', 'db.shop', {
      workloads,
      services: [service('shop/db', '10.96.0.1', '5432:5433', endpoints)],
      policies: [policy('callers', { action: 'allow', rules: [{ from: [{ principals }] }] })],
    }).ways;
    expect([way?.endpoints.length, way?.endpointCount]).toEqual([20, 100]);
    const condition = way?.policies[0]?.rules[0]?.clauses[0]?.conditions[0];
    expect([condition?.values.length, condition?.valuesOmitted]).toEqual([16, 9984]);
  });
});
