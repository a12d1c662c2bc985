import { describe, expect, it } from '@jest/globals';
import { parseSpiffeId } from '../../../src/model/identity.ts';
import type { Workload } from '../../../src/model/mesh.ts';
import { type AuthorizationPolicy, policyKey } from '../../../src/model/policy.ts';
import { policyLookup } from '../../../src/policy/policy-lookup.ts';
import { type AccessRequest, createAuthorizer } from '../../../src/policy/authorize.ts';
import { access } from '../../support/egress.ts';
import { at, meshOf, pod } from '../../support/mesh-builder.ts';

const web = pod('shop/web', { ips: ['10.0.0.1'], labels: { app: 'web', tier: 'front' } });
const bare = pod('shop/bare', { ips: ['10.0.0.2'] });
const other = pod('other/web', { ips: ['10.0.0.3'], labels: { app: 'web' } });

function policy(key: string, given: Partial<AuthorizationPolicy> = {}): AuthorizationPolicy {
  const [namespace = '', name = ''] = key.split('/');
  return {
    key: policyKey(namespace, name),
    namespace,
    name,
    action: 'deny',
    scope: { type: 'namespace' },
    rules: [{}],
    ...given,
  };
}

const selecting = (labels: Record<string, string>) => ({ scope: { type: 'selector', labels } }) as const;

const request = (destination: Workload): AccessRequest => ({
  identity: bare.identity,
  source: at('10.0.0.2:40000'),
  destination,
  target: at('10.0.0.1:80'),
});

const keysFor = (policies: readonly AuthorizationPolicy[], workload: Workload): readonly string[] =>
  policyLookup(meshOf({ policies }).view)(workload).map(({ key }) => key);

describe('the policies that apply to a workload', () => {
  it('are its namespace’s own', () => {
    expect(keysFor([policy('shop/a'), policy('other/a')], web)).toEqual(['shop/a']);
  });

  it('are those whose selector names labels it has, all of them', () => {
    const policies = [
      policy('shop/both', selecting({ app: 'web', tier: 'front' })),
      policy('shop/one', selecting({ app: 'web' })),
      policy('shop/wrong', selecting({ app: 'api' })),
      policy('shop/more', selecting({ app: 'web', zone: 'a' })),
      policy('other/elsewhere', selecting({ app: 'web' })),
    ];
    expect(keysFor(policies, web)).toEqual(['shop/both', 'shop/one']);
    expect(keysFor(policies, bare)).toEqual([]);
  });

  it('are the mesh’s, and those of the root namespace that select it', () => {
    const policies = [
      policy('istio-system/all', { scope: { type: 'mesh' } }),
      policy('istio-system/front', selecting({ tier: 'front' })),
    ];
    expect(keysFor(policies, web)).toEqual(['istio-system/all', 'istio-system/front']);
    expect(keysFor(policies, other)).toEqual(['istio-system/all']);
  });

  it('do not depend on names that every object has', () => {
    expect(keysFor([policy('shop/odd', selecting({ constructor: 'x' }))], web)).toEqual([]);
  });
});

describe('an authorizer', () => {
  it('judges by the policies in force in the version it is given', () => {
    const authorize = createAuthorizer();
    const store = meshOf({ workloads: [web, bare], policies: [policy('shop/deny-all')] });
    const before = store.view;
    expect(authorize(before, request(web))).toMatchObject({ allowed: false, policy: 'shop/deny-all' });
    store.replace({ workloads: [web, bare], services: [], policies: [], peerAuthentications: [] });
    expect(authorize(store.view, request(web))).toMatchObject({ allowed: true });
    expect(authorize(before, request(web))).toMatchObject({ allowed: false });
  });

  it('judges by policies that were there before the pods and their namespace, and not by one deleted while in use', () => {
    const authorize = createAuthorizer();
    const deny = policy('late/deny-all');
    const store = meshOf({ policies: [deny] });
    expect(authorize(store.view, request(web)).allowed).toBe(true);
    const late = pod('late/web', { ips: ['10.0.0.9'] });
    const nothing = { services: new Map(), peerAuthentications: new Map() };
    store.apply({ ...nothing, workloads: new Map([[late.uid, late]]), policies: new Map() });
    expect(authorize(store.view, request(late))).toMatchObject({ allowed: false, policy: deny.key });
    store.apply({ ...nothing, workloads: new Map(), policies: new Map([[deny.key, undefined]]) });
    expect(authorize(store.view, request(late))).toMatchObject({ allowed: true, policy: undefined });
  });

  it('judges by a policy with ten thousand principals: each of them, and nobody else', () => {
    const principals = Array.from({ length: 10_000 }, (_, i) => `cluster.local/ns/n/sa/s${i}`);
    const many = policy('shop/many', { action: 'allow', rules: [{ from: [{ principals }] }] });
    const { view } = meshOf({ workloads: [web], policies: [many] });
    const authorize = createAuthorizer();
    const isAllowed = (account: string): boolean =>
      authorize(view, {
        ...request(web),
        identity: parseSpiffeId(`spiffe://cluster.local/ns/n/sa/${account}`),
      }).allowed;
    expect(principals.every((_, i) => isAllowed(`s${i}`))).toBe(true);
    expect(['s10000', 's', 'other'].map(isAllowed)).toEqual([false, false, false]);
  });

  it('notices when a workload’s labels bring it under a policy', () => {
    const authorize = createAuthorizer();
    const policies = [policy('shop/fenced', selecting({ fenced: 'yes' }))];
    const store = meshOf({ workloads: [web], policies });
    expect(authorize(store.view, request(web))).toMatchObject({ allowed: true });
    const fenced = { ...web, labels: { fenced: 'yes' } };
    expect(authorize(store.view, request(fenced))).toMatchObject({ allowed: false, policy: 'shop/fenced' });
  });

  it('notices a new NamespaceAccess, and keeps what is compiled of policies', () => {
    const authorize = createAuthorizer();
    const store = meshOf({ workloads: [web] });
    expect(authorize(store.view, request(web)).allowed).toBe(true);
    const locked = access('shop/locked', { inbound: 'deny' });
    store.replace({
      workloads: [web],
      services: [],
      policies: [],
      peerAuthentications: [],
      access: [locked],
    });
    expect(authorize(store.view, request(web))).toMatchObject({ allowed: false, policy: locked.key });
  });

  it('weighs policies in dry run against the namespace’s default, too', () => {
    const objects = [access('shop/locked', { inbound: 'deny' })];
    const opening = policy('shop/open', { action: 'allow', dryRun: true });
    const { view } = meshOf({ workloads: [web], policies: [opening], access: objects });
    expect(createAuthorizer()(view, request(web))).toMatchObject({
      allowed: false,
      policy: 'namespaceaccess/shop/locked',
      dryRun: { allowed: true, policy: 'shop/open' },
    });
  });
});
