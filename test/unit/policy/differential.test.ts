import { describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import {
  type IpAddress,
  type IpPrefix,
  ipToBytes,
  parseIp,
  parsePort,
  parsePrefix,
} from '../../../src/base/ip.ts';
import { parseTrustDomain, spiffeId, type SpiffeId } from '../../../src/model/identity.ts';
import {
  type AuthorizationPolicy,
  policyKey,
  type PolicyRule,
  type Workload,
} from '../../../src/model/mesh.ts';
import type { MeshView } from '../../../src/model/view.ts';
import { createAuthorizer } from '../../../src/policy/authorize.ts';
import { meshConfig, meshOf, pod } from '../../support/mesh-builder.ts';

const oneOf = <T>(...values: T[]): fc.Arbitrary<T> => fc.constantFrom(...values);

const some = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T[]> => fc.array(value, { maxLength: 3 });

describe('compiled and indexed decisions', () => {
  const namespaces = ['shop', 'other', 'bots', 'istio-system'];
  const trustDomain = parseTrustDomain('cluster.local');

  const identity = fc
    .record({ namespace: oneOf('shop', 'other', 'bots'), serviceAccount: oneOf('web', 'api', 'web-2') })
    .map((parts): SpiffeId => spiffeId({ trustDomain, ...parts }));
  const pattern = oneOf('shop', 'other', 'bots', 'sh*', '*s', '*', 'none', '*o*', 'o*', '*sho');
  const principal = fc.oneof(
    identity.map((id) => id.slice('spiffe://'.length)),
    identity,
    oneOf(
      '*',
      '*/sa/web',
      'cluster.local/ns/shop/*',
      'spiffe://cluster.local/*',
      'cluster.local/ns/shop/sa/web*',
    ),
  );
  const account = oneOf('shop/web', 'other/api', 'bots/web-2');
  const block = oneOf('10.0.0.0/30', '10.0.0.2', 'fd00::/8', '0.0.0.0/0').map(parsePrefix);
  const port = oneOf(80, 443, 8080).map(parsePort);

  const rule: fc.Arbitrary<PolicyRule> = fc.record(
    {
      namespaces: some(pattern),
      notNamespaces: some(pattern),
      principals: some(principal),
      notPrincipals: some(principal),
      serviceAccounts: some(account),
      notServiceAccounts: some(account),
      ipBlocks: some(block),
      notIpBlocks: some(block),
      ports: some(port),
      notPorts: some(port),
    },
    { requiredKeys: [] },
  );
  const labels = fc.dictionary(oneOf('app', 'tier'), oneOf('web', 'front'), {
    maxKeys: 2,
    noNullPrototype: true,
  });
  const scope: fc.Arbitrary<AuthorizationPolicy['scope']> = fc.oneof(
    fc.constant({ type: 'namespace' as const }),
    labels.map((wanted) => ({ type: 'selector' as const, labels: wanted })),
    fc.constant({ type: 'mesh' as const }),
  );
  const anyPolicy = fc
    .record({
      namespace: fc.constantFrom(...namespaces),
      id: fc.nat({ max: 20 }),
      action: oneOf('allow' as const, 'deny' as const),
      scope,
      rules: fc.array(rule, { maxLength: 3 }),
    })
    .map(({ namespace, id, ...rest }): AuthorizationPolicy => {
      const name = `p${id}`;
      return { key: policyKey(namespace, name), namespace, name, ...rest };
    });

  const scenario = fc.record({
    policies: fc.uniqueArray(anyPolicy, { selector: ({ key }) => key, maxLength: 6 }),
    identity: fc.option(identity, { nil: undefined }),
    ip: oneOf('10.0.0.1', '10.0.0.2', '10.0.0.9', 'fd00::1').map(parseIp),
    port,
    destination: fc
      .tuple(oneOf('shop', 'other'), labels)
      .map(([namespace, given]) => pod(`${namespace}/target`, { ips: ['10.9.9.9'], labels: given })),
  });

  it('are those of a plain reading of the rules, for any policies and connections', () => {
    const authorize = createAuthorizer();
    fc.assert(
      fc.property(scenario, ({ policies, identity: id, ip, port: to, destination }) => {
        const { view } = meshOf({ workloads: [destination], policies });
        const verdict = authorize(view, {
          identity: id,
          source: { ip, port: parsePort(1) },
          destination,
          port: to,
        });
        const expected = naive(view, { id, ip, to, destination });
        expect(verdict.allowed).toBe(expected);
        expect(verdict.reason).not.toBe('');
      }),
      { numRuns: 3000 },
    );
  });

  it('are judged in a test that sees both outcomes often', () => {
    const outcomes = fc
      .sample(scenario, { numRuns: 500, seed: 1 })
      .map(({ policies, identity: id, ip, port: to, destination }) =>
        naive(meshOf({ workloads: [destination], policies }).view, { id, ip, to, destination }),
      );
    const allowed = outcomes.filter(Boolean).length;
    expect(allowed).toBeGreaterThan(50);
    expect(allowed).toBeLessThan(450);
  });
});

interface Connection {
  readonly id: SpiffeId | undefined;
  readonly ip: IpAddress;
  readonly to: number;
  readonly destination: Workload;
}

/** Istio's semantics written down once more, slowly, without compiling or indexing anything. */
function naive(view: MeshView, connection: Connection): boolean {
  const applying = [...view.policies.values()].filter((each) => naivelyApplies(each, connection.destination));
  const matching = applying.filter((each) => each.rules.some((rule) => naivelyMatches(rule, connection)));
  if (matching.some(({ action }) => action === 'deny')) return false;
  if (!applying.some(({ action }) => action === 'allow')) return true;
  return matching.some(({ action }) => action === 'allow');
}

function naivelyApplies({ scope, namespace }: AuthorizationPolicy, workload: Workload): boolean {
  if (scope.type === 'mesh') return true;
  if (scope.type === 'namespace') return namespace === workload.namespace;
  if (namespace !== workload.namespace && namespace !== meshConfig.rootNamespace) return false;
  return Object.keys(scope.labels).every((name) => scope.labels[name] === workload.labels[name]);
}

function naivelyMatches(rule: PolicyRule, { id, ip, to }: Connection): boolean {
  const [, , , domain, , namespace, , account] = id === undefined ? [] : `x/${id}`.split('/');
  const principal = id === undefined ? undefined : `${domain}/ns/${namespace}/sa/${account}`;
  const inBlock = ({ base, length }: IpPrefix): boolean =>
    naiveBits(ip).startsWith(naiveBits(base).slice(0, length + 1));
  return (
    yes(rule.namespaces, glob(namespace)) &&
    no(rule.notNamespaces, glob(namespace)) &&
    yes(rule.principals?.map(bare), glob(principal)) &&
    no(rule.notPrincipals?.map(bare), glob(principal)) &&
    yes(rule.serviceAccounts, (value) => value === `${namespace}/${account}`) &&
    no(rule.notServiceAccounts, (value) => value === `${namespace}/${account}`) &&
    yes(rule.ipBlocks, inBlock) &&
    no(rule.notIpBlocks, inBlock) &&
    yes(rule.ports, (value) => Number(value) === to) &&
    no(rule.notPorts, (value) => Number(value) === to)
  );
}

type Test<T> = (value: T) => boolean;

const yes = <T>(values: readonly T[] | undefined, test: Test<T>): boolean =>
  values === undefined || values.length === 0 || values.some(test);

const no = <T>(values: readonly T[] | undefined, test: Test<T>): boolean => !(values ?? []).some(test);

const bare = (pattern: string): string => pattern.replace(/^spiffe:\/\//, '');

const glob =
  (value: string | undefined): Test<string> =>
  (pattern) =>
    value !== undefined && naiveGlob(pattern, value);

const quoted = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);

function naiveGlob(pattern: string, value: string): boolean {
  if (pattern.startsWith('*')) return new RegExp(`^.*${quoted(pattern.slice(1))}$`).test(value);
  if (pattern.endsWith('*')) return new RegExp(`^${quoted(pattern.slice(0, -1))}.*$`).test(value);
  return pattern === value;
}

/** The family, then the address in binary digits. */
function naiveBits(ip: IpAddress): string {
  const bytes = ip.includes(':') ? ipToBytes(ip) : ipToBytes(ip).slice(12);
  return (
    (ip.includes(':') ? '6' : '4') + Array.from(bytes, (byte) => byte.toString(2).padStart(8, '0')).join('')
  );
}
