import { describe, expect, it } from '@jest/globals';
import { formatProblem } from '../../../../src/kube/problem.ts';
import { translatePolicy } from '../../../../src/kube/translate/authorization-policy.ts';
import type { PolicyRule } from '../../../../src/model/policy.ts';
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
  const { value, valid, problems } = translate(`rules: ${text}`);
  if (!valid) throw new Error(problems.map(formatProblem).join('\n'));
  return value.rules;
}

describe('an AuthorizationPolicy', () => {
  it('allows by default, in its namespace', () => {
    expect(translate('rules: [{}]')).toEqual({
      value: {
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
    expect(translate(undefined).value).toMatchObject({ action: 'allow', rules: [] });
    expect(translate('action: ALLOW')).toMatchObject({ value: { rules: [] }, valid: true });
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
    expect(translate(spec, namespace).value.scope).toEqual(scope);
  });
});

describe('rules', () => {
  it('keep sources and operations as alternatives, and every "when" as a condition', () => {
    const text = `[{
      from: [{source: {namespaces: [a]}}, {source: {principals: [b]}}],
      to: [{operation: {ports: ["80", "81"]}}, {operation: {notPorts: ["82"]}}],
      when: [
        {key: source.namespace, values: [c], notValues: [d]}, {key: source.principal, notValues: ["*/sa/x"]},
        {key: destination.port, values: ["80"]}, {key: source.ip, values: [10.0.0.1]},
        {key: destination.ip, notValues: [10.0.0.0/8]}]}]`;
    expect(rules(text)).toEqual([
      {
        from: [{ namespaces: ['a'] }, { principals: ['b'] }],
        to: [{ ports: [80, 81] }, { notPorts: [82] }],
        when: [
          { namespaces: ['c'], notNamespaces: ['d'] },
          { notPrincipals: ['*/sa/x'] },
          { ports: [80] },
          { ipBlocks: [{ base: '10.0.0.1', length: 32 }] },
          { notDestinationIps: [{ base: '10.0.0.0', length: 8 }] },
        ],
      },
    ]);
  });

  it('read every L4 field', () => {
    const text = `[{from: [{source: {
      namespaces: [a], notNamespaces: [b], principals: [c*], notPrincipals: ["*d"],
      serviceAccounts: [x/y, z], notServiceAccounts: [v], trustDomains: [t], notTrustDomains: [u],
      ipBlocks: [10.0.0.0/8], notIpBlocks: ["fd00::1"]}}]}]`;
    expect(rules(text)).toEqual([
      {
        from: [
          {
            namespaces: ['a'],
            notNamespaces: ['b'],
            principals: ['c*'],
            notPrincipals: ['*d'],
            serviceAccounts: ['x/y', 'shop/z'],
            notServiceAccounts: ['shop/v'],
            trustDomains: ['t'],
            notTrustDomains: ['u'],
            ipBlocks: [{ base: '10.0.0.0', length: 8 }],
            notIpBlocks: [{ base: 'fd00::1', length: 128 }],
          },
        ],
      },
    ]);
  });

  it('take 10 000 principals', () => {
    const principals = Array.from({ length: 10_000 }, (_, i) => `cluster.local/ns/n/sa/s${i}`);
    expect(rules(`[{from: [{source: {principals: [${principals.join(', ')}]}}]}]`)).toEqual([
      { from: [{ principals }] },
    ]);
  });
});

const from = (source: string): string => `{from: [{source: {${source}}}]}`;

const to = (operation: string): string => `{to: [{operation: {${operation}}}]}`;

/** The text of a rule, where its fault is, what it is, and what is left of the rule's conditions. */
type Fault = readonly [rule: string, field: string, message: string, rest: PolicyRule];

/** An ALLOW without what is faulty, and a DENY without the condition: the documented rule. */
function expectStrict(rule: string, rest: PolicyRule): void {
  const sound = '{to: [{operation: {ports: ["9"]}}]}';
  expect(translate(`action: ALLOW, rules: [${rule}, ${sound}]`).value.rules).toEqual([
    { number: 2, to: [{ ports: [9] }] },
  ]);
  for (const action of ['DENY', 'CUSTOM', 'AUDIT']) {
    expect(translate(`action: ${action}, rules: [${rule}]`).value.rules).toEqual([rest]);
  }
}

const raw = (spec: unknown) =>
  translatePolicy({ object: { ...bare, spec } as never, position: undefined }, meshConfig);

describe('what only a waypoint can check', () => {
  const http = 'an HTTP condition, which only a waypoint can check';
  const faults: readonly Fault[] = [
    [
      to('ports: ["80"], methods: [GET]'),
      'to[0].operation.methods',
      http,
      { to: [{ ports: [80 as never] }] },
    ],
    ...['hosts', 'notHosts', 'methods', 'notMethods', 'paths', 'notPaths'].map((name): Fault => [
      to(`${name}: [x]`),
      `to[0].operation.${name}`,
      http,
      { to: [{}] },
    ]),
    ...['requestPrincipals', 'notRequestPrincipals', 'remoteIpBlocks', 'notRemoteIpBlocks'].map(
      (name): Fault => [
        from(`${name}: [10.0.0.0/8], namespaces: [a]`),
        `from[0].source.${name}`,
        http,
        { from: [{ namespaces: ['a'] }] },
      ],
    ),
    ...['request.auth.claims[iss]', 'request.headers[x]', 'connection.sni', 'remote.ip', 'new.key'].map(
      (key): Fault => [
        `{when: [{key: "${key}", values: [x]}]}`,
        'when[0].key',
        `"${key}" cannot be checked at L4, only by a waypoint`,
        { when: [{}] },
      ],
    ),
  ];

  it.each(faults)('is a warning, and in force in its strict reading: %s', (rule, field, message, rest) => {
    expect(problemsOf(`rules: [${rule}]`)).toEqual([`warning: spec.rules[0].${field}: ${message}`]);
    expect(translate(`rules: [${rule}]`).valid).toBe(true);
    expectStrict(rule, rest);
  });

  it('takes the whole rule out of an ALLOW policy, as Istio does, and leaves a DENY what L4 can check', () => {
    const rule = '{from: [{source: {namespaces: [a]}}, {source: {requestPrincipals: [b]}}]}';
    expect(translate(`rules: [${rule}]`).value.rules).toEqual([]);
    expect(translate(`action: DENY, rules: [${rule}]`).value.rules).toEqual([
      { from: [{ namespaces: ['a'] }, {}] },
    ]);
  });

  it('is a CUSTOM policy: what its rules match is refused', () => {
    const text = `action: CUSTOM, provider: {name: x}, rules: [${to('ports: ["80"]')}]`;
    expect(translate(text)).toMatchObject({
      value: { action: 'custom', rules: [{ to: [{ ports: [80] }] }] },
      valid: true,
    });
    expect(problemsOf(text)).toEqual([
      'warning: spec.action: CUSTOM needs a waypoint to ask its provider; without one, what its rules match is refused',
    ]);
  });

  it('is a field of a later version of the API: it is not overlooked', () => {
    const unknownIn = { from: [{ source: { namespaces: ['a'], spiffeIds: ['x'] } }] };
    expect(raw({ rules: [unknownIn] }).value.rules).toEqual([]);
    expect(raw({ action: 'DENY', rules: [unknownIn] }).value.rules).toEqual([
      { from: [{ namespaces: ['a'] }] },
    ]);
    expect(raw({ rules: [{ unless: [] }] }).value.rules).toEqual([]);
    expect(
      raw({ rules: [{ when: [{ key: 'source.namespace', values: ['a'], any: 1 }] }] }).value.rules,
    ).toEqual([]);
    expect(raw({ rules: [{}], inverted: true })).toMatchObject({
      value: { action: 'deny', rules: [{}] },
      valid: false,
    });
  });
});

const bare = {
  apiVersion: 'security.istio.io/v1',
  kind: 'AuthorizationPolicy',
  metadata: { name: 'p', namespace: 'shop' },
};

const noAddress = (text: string): string => `"${text}" is not an IP address`;

describe('what cannot be read', () => {
  const faults: readonly Fault[] = [
    [to('ports: ["0"]'), 'to[0].operation.ports', '"0" is not a TCP port (1-65535)', { to: [{}] }],
    [
      to('ports: ["80", "http"]'),
      'to[0].operation.ports',
      '"http" is not a TCP port (1-65535)',
      { to: [{}] },
    ],
    [
      to('notPorts: ["65536"]'),
      'to[0].operation.notPorts',
      '"65536" is not a TCP port (1-65535)',
      { to: [{}] },
    ],
    [to('ports: []'), 'to[0].operation.ports', 'the list is empty', { to: [{}] }],
    [
      from('ipBlocks: [10.0.0.0/33]'),
      'from[0].source.ipBlocks',
      '"10.0.0.0/33" is not an IP prefix',
      { from: [{}] },
    ],
    [from('ipBlocks: [010.0.0.1]'), 'from[0].source.ipBlocks', noAddress('010.0.0.1'), { from: [{}] }],
    [from('notIpBlocks: ["10.1"]'), 'from[0].source.notIpBlocks', noAddress('10.1'), { from: [{}] }],
    [
      from('ipBlocks: ["10.0.0.1/08"]'),
      'from[0].source.ipBlocks',
      '"10.0.0.1/08" is not an IP prefix',
      { from: [{}] },
    ],
    [
      from('serviceAccounts: ["*"]'),
      'from[0].source.serviceAccounts',
      '"*" is not NAMESPACE/NAME of a service account',
      { from: [{}] },
    ],
    [from(''), 'from[0].source', 'no condition is given', { from: [{}] }],
    [to(''), 'to[0].operation', 'no condition is given', { to: [{}] }],
    ['{from: [{}]}', 'from[0].source', 'no condition is given', { from: [{}] }],
    ['{from: []}', 'from', 'the list is empty', {}],
    ['{to: []}', 'to', 'the list is empty', {}],
    ['{when: [{key: source.namespace}]}', 'when[0]', 'no condition is given', { when: [{}] }],
  ];

  it.each(faults)('is named, and makes the policy invalid: %s', (rule, field, message, rest) => {
    expect(problemsOf(`rules: [${rule}]`)).toEqual([`spec.rules[0].${field}: ${message}`]);
    expect(translate(`rules: [${rule}]`).valid).toBe(false);
    expectStrict(rule, rest);
  });

  it('is a DENY policy without rules, which would deny nothing', () => {
    expect(problemsOf('action: DENY')).toEqual([
      'spec.rules: a DENY policy without rules denies nothing; to deny everything write [{}]',
    ]);
  });
});

const annotated = (value: string) =>
  translatePolicy(
    objectIn(
      'AuthorizationPolicy',
      `{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: p, namespace: shop, annotations: {istio.io/dry-run: "${value}"}}}`,
    ),
    meshConfig,
  );

describe('dry run', () => {
  it('is what the annotation says, and nothing else', () => {
    expect(annotated('true').value.dryRun).toBe(true);
    expect(annotated('false').value).not.toHaveProperty('dryRun');
    expect(annotated('yes').value).not.toHaveProperty('dryRun');
    expect(annotated('yes').problems.map(({ message }) => message)).toEqual([
      '"yes" is neither "true" nor "false": the policy is enforced',
    ]);
  });
});

describe('targetRefs', () => {
  const service = '{kind: Service, group: "", name: cart}';
  const gateway = '{group: gateway.networking.k8s.io, kind: Gateway, name: w}';

  it('to a Service concern the pods that serve it', () => {
    for (const spec of [`targetRef: ${service}`, `targetRefs: [${service}]`]) {
      expect(translate(spec)).toMatchObject({
        value: { scope: { type: 'services', services: ['shop/cart'] } },
        valid: true,
      });
      expect(problemsOf(spec)).toEqual([
        'warning: spec.targetRefs[0]: without a waypoint it is enforced at the pods that serve cart, however they are reached',
      ]);
    }
  });

  it('to a gateway concern nobody here', () => {
    expect(translate(`targetRefs: [${gateway}]`)).toMatchObject({
      value: { scope: { type: 'services', services: [] } },
      valid: true,
    });
    expect(translate(`targetRefs: [${gateway}, ${service}]`).value.scope).toEqual({
      type: 'services',
      services: ['shop/cart'],
    });
  });

  it.each([
    ['of an unknown kind', 'targetRefs: [{kind: Pod, name: x}]', 'spec.targetRefs[0]'],
    ['in another namespace', 'targetRefs: [{kind: Service, name: x, namespace: y}]', 'spec.targetRefs[0]'],
    ['beside a selector', `targetRefs: [${service}], selector: {matchLabels: {app: web}}`, 'spec.selector'],
  ])('%s make the policy invalid, and its strict reading concerns the namespace', (_, spec, field) => {
    const { value, valid, problems } = translate(spec);
    expect(value.scope).toEqual({ type: 'namespace' });
    expect(valid).toBe(false);
    expect(problems.filter(({ severity }) => severity === 'error').map((each) => each.field)).toEqual([
      field,
    ]);
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
