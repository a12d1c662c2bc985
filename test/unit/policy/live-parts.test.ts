/** What is compiled follows the policies: whatever was before, decisions are as with everything made anew. */
import { describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import {
  type AuthorizationPolicy,
  policyActions,
  policyKey,
  type PolicyScope,
} from '../../../src/model/policy.ts';
import type { MeshStore } from '../../../src/model/store.ts';
import { type AccessRequest, createAuthorizer, createCompiler } from '../../../src/policy/authorize.ts';
import { at, meshOf, pod, service } from '../../support/mesh-builder.ts';

const labels = { app: 'web', tier: 'front', zone: 'a' };
const web = pod('shop/web', { ips: ['10.0.0.1'], labels });
const bare = pod('shop/bare', { ips: ['10.0.0.2'] });
const admin = pod('istio-system/admin', { ips: ['10.0.0.3'], labels });
const workloads = [web, bare, admin];
const services = [service('shop/web', '10.96.0.1', '80:80', [{ address: '10.0.0.1' }])];

const scopes: readonly PolicyScope[] = [
  { type: 'namespace' },
  { type: 'selector', labels: { app: 'web' } },
  { type: 'selector', labels: { app: 'web', tier: 'front' } },
  { type: 'selector', labels: { zone: 'a' } },
  { type: 'services', services: services.map(({ key }) => key) },
];
const patterns = ['shop', 'sh*', '*op', '*', 'other'];

const policy: fc.Arbitrary<AuthorizationPolicy> = fc
  .record({
    name: fc.constantFrom('a', 'b', 'c', 'd', 'e'),
    namespace: fc.constantFrom('shop', 'istio-system'),
    action: fc.constantFrom(...policyActions),
    scope: fc.constantFrom(...scopes),
    dryRun: fc.boolean(),
    rules: fc.array(
      fc.record({
        from: fc.array(
          fc.record(
            {
              namespaces: fc.array(fc.constantFrom(...patterns), { minLength: 1, maxLength: 3 }),
              notNamespaces: fc.array(fc.constantFrom(...patterns), { minLength: 1, maxLength: 2 }),
            },
            { requiredKeys: [] },
          ),
          { maxLength: 2 },
        ),
      }),
      { maxLength: 3 },
    ),
  })
  .map(({ name, namespace, dryRun, scope, ...rest }) => ({
    ...rest,
    name,
    namespace,
    key: policyKey(namespace, name),
    scope: namespace === 'istio-system' && scope.type === 'namespace' ? { type: 'mesh' } : scope,
    ...(dryRun ? { dryRun: true as const } : {}),
  }));

/** Some at once; undefined: the policy is gone. */
const change = fc.array(fc.tuple(policy, fc.boolean()), { minLength: 1, maxLength: 4 });

const nothing = { workloads: new Map(), services: new Map(), peerAuthentications: new Map() };

const requests: readonly AccessRequest[] = workloads.flatMap((destination) =>
  [bare.identity, admin.identity, undefined].map((identity) => ({
    identity,
    source: at('10.0.0.2:40000'),
    destination,
    target: at(`${destination.addresses[0]}:80`),
  })),
);

const apply = (store: MeshStore, changes: readonly (readonly [AuthorizationPolicy, boolean])[]): void =>
  store.apply({
    ...nothing,
    policies: new Map(changes.map(([each, isGone]) => [each.key, isGone ? undefined : each])),
  });

describe('a change of policies', () => {
  it.each([
    ['', 16],
    [', also where what selects a pod is taken together', 1],
  ])('is in force for the next connection, whatever was before%s', (_, maxParts) => {
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 12 }), (history) => {
        const store = meshOf({ workloads, services });
        const following = createAuthorizer(createCompiler(maxParts));
        for (const changes of history) {
          apply(store, changes);
          const fresh = createAuthorizer();
          for (const request of requests) {
            const { reason: _words, ...expected } = fresh(store.view, request);
            const { reason: _others, ...actual } = following(store.view, request);
            expect({ ...actual, dryRun: actual.dryRun?.allowed }).toEqual({
              ...expected,
              dryRun: expected.dryRun?.allowed,
            });
          }
        }
      }),
      { numRuns: 300 },
    );
  });

  it('of one among ten thousand on one pod costs the next decision no compilation', () => {
    const many = Array.from({ length: 10_000 }, (_, i): AuthorizationPolicy => ({
      key: policyKey('shop', `p${i}`),
      namespace: 'shop',
      name: `p${i}`,
      action: 'allow',
      scope: { type: 'namespace' },
      rules: [{ from: [{ namespaces: [`n${i}`] }] }],
    }));
    const store = meshOf({ workloads, services, policies: many });
    const authorize = createAuthorizer();
    const [request] = requests as [AccessRequest];
    const timed = (): number => {
      const start = performance.now();
      authorize(store.view, request);
      return performance.now() - start;
    };
    const first = timed();
    const later = many.slice(0, 50).map((each) => {
      apply(store, [[each, true]]);
      return timed();
    });
    // The best of them: others use the machine, too.
    expect(Math.min(...later)).toBeLessThan(first / 20);
  });
});
