import { describe, expect, it } from '@jest/globals';
import { formatProblem } from '../../../../src/kube/problem.ts';
import { translatePolicy } from '../../../../src/kube/translate/authorization-policy.ts';
import type { PolicyRule } from '../../../../src/model/mesh.ts';
import { meshConfig } from '../../../support/mesh-builder.ts';
import { objectIn } from '../support.ts';

const translate = (spec: string | undefined, namespace = 'shop') =>
  translatePolicy(
    objectIn(
      'AuthorizationPolicy',
      `{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: p, namespace: ${namespace}}${spec === undefined ? '' : `, spec: {${spec}}`}}`,
    ),
    meshConfig,
  );

const problemsOf = (spec: string): readonly string[] =>
  translate(spec).problems.map((problem) =>
    formatProblem({ ...problem, position: undefined, object: undefined }),
  );

/** The rules of an ALLOW policy that must be in order. */
function rules(text: string): readonly PolicyRule[] {
  const { policy, valid, problems } = translate(`rules: ${text}`);
  if (policy === undefined || !valid) throw new Error(problems.map(formatProblem).join('\n'));
  return policy.rules;
}

describe('an AuthorizationPolicy', () => {
  it('allows by default, in its namespace', () => {
    expect(translate('rules: [{}]')).toEqual({
      policy: {
        key: 'shop/p',
        namespace: 'shop',
        name: 'p',
        action: 'allow',
        scope: { type: 'namespace' },
        rules: [{}],
      },
      valid: true,
      problems: [],
    });
  });

  it('without a spec, or without rules, allows nothing', () => {
    expect(translate(undefined).policy).toMatchObject({ action: 'allow', rules: [] });
    expect(translate('action: ALLOW')).toMatchObject({ policy: { rules: [] }, valid: true });
  });

  it.each([
    ['its namespace', 'selector: {matchLabels: {}}', 'shop', { type: 'namespace' }],
    [
      'the pods it selects',
      'selector: {matchLabels: {app: web}}',
      'shop',
      { type: 'selector', labels: { app: 'web' } },
    ],
    ['the mesh, in the root namespace', 'action: ALLOW', 'istio-system', { type: 'mesh' }],
    [
      'pods anywhere, in the root namespace',
      'selector: {matchLabels: {app: web}}',
      'istio-system',
      { type: 'selector', labels: { app: 'web' } },
    ],
  ])('applies to %s', (_, spec, namespace, scope) => {
    expect(translate(spec, namespace).policy?.scope).toEqual(scope);
  });
});

describe('rules', () => {
  it('take each pair of a source and an operation as an alternative', () => {
    const text = `[{
      from: [{source: {namespaces: [a]}}, {source: {principals: [b]}}],
      to: [{operation: {ports: ["80", "81"]}}, {operation: {notPorts: ["82"]}}]}]`;
    expect(rules(text)).toEqual([
      { namespaces: ['a'], ports: [80, 81] },
      { namespaces: ['a'], notPorts: [82] },
      { principals: ['b'], ports: [80, 81] },
      { principals: ['b'], notPorts: [82] },
    ]);
  });

  it('read every L4 field', () => {
    const text = `[{from: [{source: {
      namespaces: [a], notNamespaces: [b], principals: [c*], notPrincipals: ["*d"],
      serviceAccounts: [x/y, z], notServiceAccounts: [v], ipBlocks: [10.0.0.0/8], notIpBlocks: ["fd00::1"]}}]}]`;
    expect(rules(text)).toEqual([
      {
        namespaces: ['a'],
        notNamespaces: ['b'],
        principals: ['c*'],
        notPrincipals: ['*d'],
        serviceAccounts: ['x/y', 'shop/z'],
        notServiceAccounts: ['shop/v'],
        ipBlocks: [{ base: '10.0.0.0', length: 8 }],
        notIpBlocks: [{ base: 'fd00::1', length: 128 }],
      },
    ]);
  });

  it('take conditions under "when" in addition', () => {
    const text = `[{from: [{source: {namespaces: [a]}}, {source: {namespaces: [b]}}], when: [
      {key: source.principal, notValues: ["*/sa/x"]}, {key: destination.port, values: ["80"]},
      {key: source.ip, values: [10.0.0.1]}]}]`;
    const extra = { notPrincipals: ['*/sa/x'], ports: [80], ipBlocks: [{ base: '10.0.0.1', length: 32 }] };
    expect(rules(text)).toEqual([
      { namespaces: ['a'], ...extra },
      { namespaces: ['b'], ...extra },
    ]);
  });
});

const from = (source: string): string => `{from: [{source: {${source}}}]}`;

const to = (operation: string): string => `{to: [{operation: {${operation}}}]}`;

describe('what L4 cannot check or read', () => {
  const http = 'an HTTP condition, which only a waypoint can check';
  /** The text of a rule, where its fault is, what it is, and what is left of the rule's conditions. */
  const faults: readonly [string, string, string, PolicyRule][] = [
    [to('ports: ["80"], methods: [GET]'), 'to[0].operation.methods', http, { ports: [80 as never] }],
    [to('paths: ["/x"]'), 'to[0].operation.paths', http, {}],
    [to('notHosts: [x]'), 'to[0].operation.notHosts', http, {}],
    [
      from('requestPrincipals: ["*"], namespaces: [a]'),
      'from[0].source.requestPrincipals',
      http,
      { namespaces: ['a'] },
    ],
    [from('remoteIpBlocks: [10.0.0.0/8]'), 'from[0].source.remoteIpBlocks', http, {}],
    [to('ports: ["0"]'), 'to[0].operation.ports', '"0" is not a TCP port (1-65535)', {}],
    [to('ports: ["80", "http"]'), 'to[0].operation.ports', '"http" is not a TCP port (1-65535)', {}],
    [to('ports: []'), 'to[0].operation.ports', 'the list is empty', {}],
    [from('ipBlocks: [10.0.0.0/33]'), 'from[0].source.ipBlocks', '"10.0.0.0/33" is not an IP prefix', {}],
    [
      from('serviceAccounts: ["*"]'),
      'from[0].source.serviceAccounts',
      '"*" is not NAMESPACE/NAME of a service account',
      {},
    ],
    [from(''), 'from[0].source', 'no condition is given', {}],
    [to(''), 'to[0].operation', 'no condition is given', {}],
    ['{from: []}', 'from', 'the list is empty', {}],
    ['{to: []}', 'to', 'the list is empty', {}],
    [
      '{when: [{key: "request.auth.claims[iss]", values: [x]}]}',
      'when[0].key',
      '"request.auth.claims[iss]" cannot be checked at L4',
      {},
    ],
    ['{when: [{key: source.namespace}]}', 'when[0]', 'no condition is given', {}],
    [
      '{from: [{source: {namespaces: [a]}}], when: [{key: source.namespace, values: [b]}]}',
      'when[0].key',
      'the rule has a condition on "source.namespace" already',
      { namespaces: ['a'] },
    ],
  ];

  it.each(faults)('is named: %s', (rule, field, message) => {
    expect(problemsOf(`rules: [${rule}]`)).toEqual([`spec.rules[0].${field}: ${message}`]);
    expect(translate(`rules: [${rule}]`).valid).toBe(false);
  });

  it.each(faults)(
    'takes an ALLOW rule out, and leaves a DENY rule without the condition: %s',
    (rule, _, __, rest) => {
      expect(
        translate(`action: ALLOW, rules: [${rule}, {to: [{operation: {ports: ["9"]}}]}]`).policy?.rules,
      ).toEqual([{ ports: [9] }]);
      expect(translate(`action: DENY, rules: [${rule}]`).policy?.rules).toEqual([rest]);
    },
  );

  it('spoils of an ALLOW rule only the alternatives it is in', () => {
    const text = 'rules: [{from: [{source: {namespaces: [a]}}, {source: {requestPrincipals: [b]}}]}]';
    expect(translate(text).policy?.rules).toEqual([{ namespaces: ['a'] }]);
  });

  it('is a DENY policy without rules, which would deny nothing', () => {
    expect(problemsOf('action: DENY')).toEqual([
      'spec.rules: a DENY policy without rules denies nothing; to deny everything write [{}]',
    ]);
  });

  it('is a policy for a waypoint', () => {
    const target = '{group: gateway.networking.k8s.io, kind: Gateway, name: w}';
    for (const spec of [`targetRef: ${target}`, `targetRefs: [${target}]`]) {
      expect(translate(spec)).toMatchObject({ policy: undefined, valid: false });
      expect(problemsOf(spec)).toEqual([
        'spec.targetRefs: policies for waypoints are not enforced yet: use a selector',
      ]);
    }
  });

  it('is too many combinations: an ALLOW then allows nothing, a DENY denies everything', () => {
    const sources = Array.from({ length: 80 }, (_, i) => `{source: {namespaces: [n${i}]}}`).join(', ');
    const operations = Array.from({ length: 80 }, (_, i) => `{operation: {ports: ["${i + 1}"]}}`).join(', ');
    const text = `rules: [{from: [${sources}], to: [${operations}]}]`;
    expect(problemsOf(text)).toEqual([
      'spec.rules: 6400 combinations of sources and operations: at most 4096 are possible',
    ]);
    expect(translate(`action: ALLOW, ${text}`).policy?.rules).toEqual([]);
    expect(translate(`action: DENY, ${text}`).policy?.rules).toEqual([{}]);
  });
});

const warningsFor = (principal: string): readonly string[] =>
  problemsOf(`rules: [{from: [{source: {principals: ["${principal}"]}}]}]`);

describe('principals that can be nobody’s', () => {
  it.each([
    ['web', "is nobody's: a principal is cluster.local/ns/NAMESPACE/sa/SERVICE-ACCOUNT"],
    ['cluster.local/sa/web', "is nobody's: a principal is cluster.local/ns/NAMESPACE/sa/SERVICE-ACCOUNT"],
    ['other.org/ns/a/sa/b', "is nobody's here: the mesh's trust domain is cluster.local"],
    ['spiffe://other.org/ns/*', "is nobody's here: the mesh's trust domain is cluster.local"],
  ])('are warned of: %s', (principal, message) => {
    expect(warningsFor(principal)).toEqual([
      `warning: spec.rules[0].from[0].source.principals: "${principal}" ${message}`,
    ]);
    expect(translate(`rules: [{from: [{source: {principals: ["${principal}"]}}]}]`).valid).toBe(true);
  });

  it.each([
    'cluster.local/ns/a/sa/b',
    'spiffe://cluster.local/ns/a/sa/b',
    '*',
    '*/sa/b',
    'cluster.local/*',
    'cluster*',
  ])('are not %s', (principal) => {
    expect(warningsFor(principal)).toEqual([]);
  });
});
