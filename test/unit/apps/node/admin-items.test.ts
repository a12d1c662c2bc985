import { describe, expect, it } from '@jest/globals';
import { certificateItem, workloadItem } from '../../../../src/apps/node/admin-items.ts';
import { type NodeFacts, nodeFacts } from '../../../../src/apps/node/node-facts.ts';
import { peerAuthenticationItem, policyItem } from '../../../../src/apps/node/policy-items.ts';
import type { CertificateStatus } from '../../../../src/identity/certificate-entry.ts';
import type { SpiffeId } from '../../../../src/model/identity.ts';
import type { NodeName } from '../../../../src/model/mesh.ts';
import {
  type AuthorizationPolicy,
  type PeerAuthentication,
  peerAuthenticationKey,
  policyKey,
} from '../../../../src/model/policy.ts';
import { parsePort } from '../../../../src/base/ip.ts';
import type { MeshView } from '../../../../src/model/view.ts';
import { meshOf, pod } from '../../../support/mesh-builder.ts';

const web = pod('shop/web', { ips: ['10.0.0.1'], labels: { app: 'web' } });
const twin = pod('shop/twin', { ips: ['10.0.0.2'], labels: { app: 'web' }, serviceAccount: 'web' });
const far = pod('shop/far', {
  ips: ['10.0.1.1'],
  node: 'node-b',
  labels: { app: 'web' },
  serviceAccount: 'web',
});
const other = pod('other/db', { ips: ['10.0.0.3'] });

const policy = (
  namespace: string,
  name: string,
  scope: AuthorizationPolicy['scope'],
): AuthorizationPolicy => ({
  key: policyKey(namespace, name),
  namespace,
  name,
  action: 'deny',
  scope,
  rules: [],
});
const all = policy('istio-system', 'all', { type: 'mesh' });
const webs = policy('shop', 'webs', { type: 'selector', labels: { app: 'web' } });

const certificate = (identity: SpiffeId): CertificateStatus => ({
  identity,
  state: 'valid',
  certificate: undefined,
  lifeUsed: 0.8,
  nextAttemptAt: undefined,
  requesting: false,
  failures: 0,
  lastError: undefined,
});

const { view } = meshOf({ workloads: [web, twin, far, other], policies: [webs, all] });

const factsOf = (of: MeshView): NodeFacts =>
  nodeFacts({
    view: of,
    node: 'node-a' as NodeName,
    stateOf: () => undefined,
    certificates: [certificate(other.identity), certificate(web.identity)],
  });

describe('a workload', () => {
  it('has the policies that apply to it, and its own certificate', () => {
    expect(workloadItem(web, factsOf(view))).toMatchObject({
      policies: ['istio-system/all', 'shop/webs'],
      certificate: { state: 'expiring' },
    });
    expect(workloadItem(other, factsOf(view)).policies).toEqual(['istio-system/all']);
  });

  it('of another node has no certificate of this one', () => {
    expect(workloadItem(far, factsOf(view))).toMatchObject({ enrolment: 'remote', certificate: null });
  });
});

describe('a policy', () => {
  it('names the pods of this node to which it applies', () => {
    expect(policyItem(webs, factsOf(view))).toMatchObject({
      scope: 'app=web',
      workloads: ['shop/web', 'shop/twin'],
    });
    expect(policyItem(all, factsOf(view)).workloads).toEqual(['shop/web', 'shop/twin', 'other/db']);
  });

  it('that applies to none names none', () => {
    const unknown = policy('shop', 'later', { type: 'namespace' });
    expect(policyItem(unknown, factsOf(view)).workloads).toEqual([]);
  });
});

describe('a PeerAuthentication', () => {
  it('is told in words, with the pods it decides about', () => {
    const strict: PeerAuthentication = {
      key: peerAuthenticationKey('shop', 'default'),
      namespace: 'shop',
      name: 'default',
      createdAt: '',
      scope: { type: 'selector', labels: { app: 'web' } },
      mode: 'strict',
      ports: new Map([[parsePort(8080), 'permissive']]),
    };
    const mesh = meshOf({ workloads: [web, twin, far, other], peerAuthentications: [strict] }).view;
    expect(peerAuthenticationItem(strict, factsOf(mesh))).toMatchObject({
      kind: 'PeerAuthentication',
      key: 'peerauthentication/shop/default',
      action: 'mtls',
      scope: 'app=web',
      rules: ['mutual TLS only (STRICT)', 'plaintext too (PERMISSIVE) on port 8080'],
      workloads: ['shop/web', 'shop/twin'],
    });
  });
});

describe('a certificate', () => {
  it('names the pods of this node that use it', () => {
    expect(certificateItem(certificate(web.identity), factsOf(view)).workloads).toEqual([
      'shop/web',
      'shop/twin',
    ]);
  });
});

describe('an answer about many workloads', () => {
  it('goes through the policies once', () => {
    let passes = 0;
    const workloads = Array.from({ length: 1000 }, (_, i) =>
      pod(`shop/p${i}`, { ips: [`10.1.0.${i % 250}`] }),
    );
    const many = meshOf({ workloads, policies: [webs, all] }).view;
    const policies = new Proxy(many.policies, {
      get(target, name) {
        if (name === 'values') passes++;
        const value: unknown = Reflect.get(target, name);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
    const facts = factsOf({ ...many, workloads: many.workloads, policies, config: many.config });
    expect(workloads.map((workload) => workloadItem(workload, facts)).at(-1)?.policies).toEqual([
      'istio-system/all',
    ]);
    expect(passes).toBe(1);
  });
});
