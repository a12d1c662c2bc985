import { describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import { formatPrefix, ipFromBytes, parseIp, parsePrefix } from '../../../../src/base/ip.ts';
import { accessKey, type EgressRule, type NamespaceAccess } from '../../../../src/model/access.ts';
import { serviceKey } from '../../../../src/model/mesh.ts';
import { judgeEgress } from '../../../../src/policy/egress.ts';
import { egressCovers } from '../../../../src/policy/lint/egress-covers.ts';
import { lint } from '../../../../src/policy/lint/lint.ts';
import { meshOf, type MeshSpec, pod, service } from '../../../support/mesh-builder.ts';

const web = pod('shop/web', { ips: ['10.0.0.1'], labels: { app: 'web' } });
const db = pod('shop/db', { ips: ['10.0.0.2'], labels: { app: 'db' } });
const legacy = pod('old/legacy', { ips: ['10.0.0.3'], protocol: 'tcp', labels: { app: 'legacy' } });
const dns = pod('kube-system/dns', { ips: ['10.0.0.53'], protocol: 'tcp', labels: { app: 'dns' } });
const services = [
  service('shop/db', '10.96.0.2', '80:5432', [{ address: '10.0.0.2' }]),
  service('old/legacy', '10.96.0.3', '80:8080', [{ address: '10.0.0.3' }]),
  service('kube-system/kube-dns', '10.96.0.10', '53:53', [{ address: '10.0.0.53' }]),
  service('default/kubernetes', '10.96.0.1', '443:6443', [{ address: '192.168.0.1' }]),
];

const cidr = (block: string, ...except: readonly string[]) =>
  ({ type: 'cidr', prefix: parsePrefix(block), except: except.map(parsePrefix) }) as const;
const toService = (name: string) => {
  const [namespace = '', own = ''] = name.split('/');
  return { type: 'service', service: serviceKey(namespace, own) } as const;
};
const tcp = (first: number, last = first) => ({ protocol: 'tcp', first, last }) as const;
const udp = (first: number, last = first) => ({ protocol: 'udp', first, last }) as const;

const rule = (extra: Partial<EgressRule>): EgressRule => ({
  action: 'allow',
  to: undefined,
  ports: undefined,
  ...extra,
});

const access = (
  rules: readonly EgressRule[],
  { name = 'out', ...extra }: Partial<NamespaceAccess> = {},
): NamespaceAccess => ({
  key: accessKey('shop', name),
  namespace: 'shop',
  name,
  labels: {},
  inbound: undefined,
  egress: { default: 'deny', rules },
  ...extra,
});

const api = rule({ to: [toService('default/kubernetes')] });

function found(objects: readonly NamespaceAccess[], spec: MeshSpec = {}) {
  const { view } = meshOf({ workloads: [web, db, legacy, dns], services, access: objects, ...spec });
  return lint({
    view,
    complete: true,
    declaredPorts: undefined,
    networkPolicies: [],
    namespaces: new Set(),
    namespaceLabels: new Map(),
    controller: undefined,
  });
}

const brief = (...objects: readonly NamespaceAccess[]): readonly string[] =>
  found(objects).map(({ code, field }) => `${code} ${field}`);

/** Beside one that opens the API server, of which another test tells. */
const briefOf = (...rules: readonly EgressRule[]): readonly string[] => brief(access([...rules, api]));

describe('egress rules that are as they should be', () => {
  it('have no findings', () => {
    expect(
      briefOf(
        rule({ to: [toService('old/legacy')], ports: [tcp(80)] }),
        rule({ to: [cidr('203.0.113.0/24')] }),
        rule({ to: [cidr('0.0.0.0/0', '10.0.0.0/8', '169.254.169.254/32')], ports: [tcp(443)] }),
        rule({ to: [toService('shop/db')], ports: [udp(5432)] }),
        rule({ action: 'deny', to: [cidr('169.254.169.254/32')] }),
      ),
    ).toEqual([]);
  });
});

describe('egress rules that never match', () => {
  it('are for a Service that is not there, or a namespace with nothing in it', () => {
    const [one, two, ...more] = found([
      access([rule({ to: [toService('shop/nope'), { type: 'namespace', namespace: 'nope' }] }), api]),
    ]);
    expect(more).toEqual([]);
    expect(one).toMatchObject({
      code: 'unknown-destination',
      field: 'spec.egress.rules[0].to[0]',
      message: 'there is no Service shop/nope, or it has no address: it opens nothing',
    });
    expect(two).toMatchObject({ code: 'unknown-destination', field: 'spec.egress.rules[0].to[1]' });
  });

  it('are for a block of which the exceptions leave nothing', () => {
    expect(briefOf(rule({ to: [cidr('203.0.113.0/24', '203.0.113.0/24')] }))).toEqual([
      'contradictory-rule spec.egress.rules[0].to[0]',
    ]);
  });

  it('are for TCP to the mesh, where AuthorizationPolicies decide', () => {
    expect(briefOf(rule({ to: [toService('shop/db')], ports: [tcp(80)] }))).toEqual([
      'in-mesh-destination spec.egress.rules[0].to[0]',
    ]);
    const [one] = found([access([rule({ action: 'deny', to: [cidr('10.0.0.2/32')] }), api])]);
    expect(one).toMatchObject({
      code: 'in-mesh-destination',
      message: '10.0.0.2/32 is in the mesh: egress rules have no say in TCP there, it stays open',
    });
  });
});

describe('egress rules that change nothing', () => {
  const block = rule({ to: [cidr('203.0.113.0/25')], ports: [tcp(443)] });

  it('are covered by one that denies, of the same object or of one for all pods', () => {
    const deny = rule({ action: 'deny', to: [cidr('203.0.113.0/24')] });
    expect(briefOf(block, deny)).toEqual(['shadowed-by-deny spec.egress.rules[0]']);
    const wide = access([deny, api], { name: 'wide' });
    const narrow = access([block], { name: 'narrow', labels: { app: 'web' } });
    expect(brief(wide, narrow)).toEqual(['shadowed-by-deny spec.egress.rules[0]']);
    expect(brief(access([deny], { name: 'a', labels: { app: 'db' } }), access([block, api]))).toEqual(
      ['locks-out-api spec.egress'].slice(1),
    );
  });

  it('are covered by another one that says the same or more, and of equal ones the later', () => {
    expect(briefOf(block, rule({ to: [cidr('203.0.113.0/24')] }))).toEqual([
      'redundant-rule spec.egress.rules[0]',
    ]);
    expect(briefOf(block, block)).toEqual(['redundant-rule spec.egress.rules[1]']);
  });
});

describe('egress rules broader than meant', () => {
  it.each([
    [rule({ to: [cidr('0.0.0.0/0')], ports: [tcp(443)] }), 'any-destination spec.egress.rules[0].to[0]'],
    [rule({ to: [cidr('::/0')] }), 'any-destination spec.egress.rules[0].to[0]'],
    [rule({ ports: [tcp(443), udp(443)] }), 'any-destination spec.egress.rules[0]'],
    [rule({ action: 'deny' }), 'denies-everything spec.egress.rules[0]'],
  ])('%j', (given, expected) => {
    expect(briefOf(given)).toContain(expected);
  });

  it('say what they open', () => {
    const [one] = found([access([rule({ to: [cidr('0.0.0.0/0')], ports: [tcp(443), udp(0, 65_535)] })])]);
    expect(one?.message).toMatch(
      /^0\.0\.0\.0\/0 is every address of its family, open on TCP 443, every UDP port/,
    );
    expect(found([access([rule({})])])[0]).toMatchObject({ code: 'allows-everything' });
  });
});

describe('a default of Deny that locks out', () => {
  it('the API server is told of, with how many pods and what to write', () => {
    const [one, ...more] = found([access([])]);
    expect(more).toEqual([]);
    expect(one).toMatchObject({
      code: 'locks-out-api',
      severity: 'info',
      hint: expect.stringContaining('kubernetes'),
    });
    expect(one?.message).toMatch(/^2 pods \(shop\/web, …\) cannot reach the API server: no rule allows/);
    expect(briefOf()).toEqual([]);
  });

  it('DNS is told of, which a rule must have closed: a default of Deny leaves it open', () => {
    expect(briefOf(rule({ action: 'deny', ports: [tcp(53)] }))).toEqual(['blocks-dns spec.egress']);
  });

  it('the answers of the cluster’s DNS servers is told of', () => {
    const meshed = { ...dns, protocol: 'hbone' as const };
    const closed = access([], { namespace: 'kube-system', key: accessKey('kube-system', 'out') });
    const findings = found([closed], { workloads: [web, db, meshed] });
    expect(findings.map(({ code }) => code)).toEqual(['locks-out-dns', 'locks-out-api']);
    expect(findings[0]?.message).toMatch(/^kube-system\/dns cannot answer who asks it for names/);
    const open = {
      ...closed,
      egress: { default: 'deny', rules: [rule({ to: [cidr('10.0.0.0/8')] })] },
    } as const;
    expect(found([open], { workloads: [web, db, meshed] })).toEqual([]);
  });

  it('is not told of pods that another object lets through', () => {
    const open = access([api], { name: 'api' });
    expect(brief(access([]), open)).toEqual([]);
    const [one] = found([access([]), access([api], { name: 'api', labels: { app: 'db' } })]);
    expect(one?.message).toMatch(/^shop\/web cannot reach/);
  });
});

describe('one egress rule covers another', () => {
  const block = fc
    .tuple(fc.uint8Array({ minLength: 4, maxLength: 4 }), fc.constantFrom(0, 8, 22, 23, 24, 32))
    .map(([bytes, length]) => {
      const mapped = Uint8Array.from([
        ...new Uint8Array(10),
        255,
        255,
        10,
        0,
        (bytes[2] ?? 0) & 3,
        bytes[3] ?? 0,
      ]);
      return parsePrefix(`${ipFromBytes(mapped)}/${length}`);
    });
  const target = fc
    .tuple(block, fc.array(block, { maxLength: 2 }))
    .map(([prefix, except]) => ({ type: 'cidr', prefix, except }) as const);
  const range = fc
    .tuple(fc.constantFrom('tcp' as const, 'udp' as const), fc.integer({ min: 0, max: 4 }), fc.nat(3))
    .map(([protocol, first, more]) => ({ protocol, first, last: first + more }));
  const anyRule: fc.Arbitrary<EgressRule> = fc.record({
    action: fc.constant('allow' as const),
    to: fc.option(fc.array(target, { minLength: 1, maxLength: 2 }), { nil: undefined }),
    ports: fc.option(fc.array(range, { minLength: 1, maxLength: 2 }), { nil: undefined }),
  });
  const { view } = meshOf({});
  const matches = (given: EgressRule, ip: string, port: number, protocol: 'tcp' | 'udp'): boolean =>
    judgeEgress(
      { deniedBy: accessKey('a', 'b'), rules: [{ ...given, policy: undefined, field: 'it' }] },
      view,
      { ip: parseIp(ip), port, protocol },
    ).allowed;

  it('only if it matches whatever the other one matches', () => {
    let covered = 0;
    const request = fc.tuple(
      fc.tuple(fc.nat(3), fc.nat(255)).map(([a, b]) => `10.0.${a}.${b}`),
      fc.integer({ min: 0, max: 8 }),
      fc.constantFrom('tcp' as const, 'udp' as const),
    );
    fc.assert(
      fc.property(anyRule, anyRule, fc.array(request, { minLength: 20, maxLength: 20 }), (a, b, requests) => {
        if (!egressCovers(a, b)) return;
        covered++;
        for (const each of requests) if (matches(b, ...each)) expect(matches(a, ...each)).toBe(true);
      }),
      { numRuns: 5000 },
    );
    expect(covered).toBeGreaterThan(100);
  });

  it('and always itself', () => {
    fc.assert(fc.property(anyRule, (given) => expect(egressCovers(given, given)).toBe(true)));
  });

  it('as blocks are written', () => {
    expect(formatPrefix(parsePrefix('10.0.0.0/8'))).toBe('10.0.0.0/8');
  });
});
