import { describe, expect, it } from '@jest/globals';
import type { ConnectionId, ConnectionRecord, Verdict } from '../../../src/model/connection.ts';
import type { Service, Workload } from '../../../src/model/mesh.ts';
import {
  type AuthorizationPolicy,
  type PeerAuthentication,
  peerAuthenticationKey,
  policyKey,
} from '../../../src/model/policy.ts';
import { serviceKey } from '../../../src/model/mesh.ts';
import { createAuthorizer } from '../../../src/policy/authorize.ts';
import type { LiveConnection } from '../../../src/ztunnel/account.ts';
import { PolicyWatch } from '../../../src/ztunnel/policy-watch.ts';
import { at, meshOf, pod, service } from '../../support/mesh-builder.ts';

const web = pod('shop/web', { ips: ['10.0.0.1'], labels: { app: 'web' } });
const cart = pod('shop/cart', { ips: ['10.0.0.2'] });

const denying = (scope: AuthorizationPolicy['scope']): AuthorizationPolicy => ({
  key: policyKey('shop', 'deny'),
  namespace: 'shop',
  name: 'deny',
  action: 'deny',
  scope,
  rules: [{}],
});

interface State {
  readonly workloads?: readonly Workload[];
  readonly services?: readonly Service[];
  readonly policies?: readonly AuthorizationPolicy[];
  readonly peerAuthentications?: readonly PeerAuthentication[];
}

interface Connection {
  readonly plaintext?: boolean;
  readonly direction?: 'inbound' | 'outbound';
}

/** A mesh with one live connection from cart to web; and what became of it. */
function watched(before: State, { plaintext = false, direction = 'inbound' }: Connection = {}) {
  const whole = (state: State) => ({
    workloads: [web, cart],
    services: [],
    policies: [],
    peerAuthentications: [],
    ...state,
  });
  const mesh = meshOf(whole(before));
  const revoked: Verdict[] = [];
  const told: string[] = [];
  const ledger = { opened: () => void told.push('opened'), completed: () => void told.push('completed') };
  let judged = 0;
  const decide = createAuthorizer();
  const authorizer: typeof decide = (view, request) => {
    judged++;
    return decide(view, request);
  };
  const watch = new PolicyWatch({ ledger, mesh, authorizer });
  const connection = {
    id: 'c-1' as ConnectionId,
    meshVersion: mesh.view.version,
    revoke: (verdict: Verdict) => void revoked.push(verdict),
    facts: {
      direction,
      source: {
        address: at('10.0.0.2:40000'),
        workload: cart,
        identity: plaintext ? undefined : cart.identity,
      },
      destination: { address: at('10.0.0.1:80'), workload: web, identity: web.identity },
    },
  } as unknown as LiveConnection;
  watch.opened(connection);
  const become = (state: State): Verdict | undefined => {
    mesh.replace(whole(state));
    return revoked.at(-1);
  };
  return { watch, become, told, judged: () => judged, connection, mesh };
}

const ofNamespace = denying({ type: 'namespace' });

describe('a live connection is ended', () => {
  it('by a policy that denies it now, which the verdict names', () => {
    expect(watched({}).become({ policies: [ofNamespace] })).toMatchObject({
      allowed: false,
      policy: 'shop/deny',
    });
  });

  it('by a PeerAuthentication, if it is plaintext', () => {
    const strict: PeerAuthentication = {
      key: peerAuthenticationKey('shop', 'default'),
      namespace: 'shop',
      name: 'default',
      createdAt: '',
      scope: { type: 'namespace' },
      mode: 'strict',
      ports: new Map(),
    };
    const state = { peerAuthentications: [strict] };
    expect(watched({}, { plaintext: true }).become(state)).toMatchObject({
      policy: 'peerauthentication/shop/default',
    });
    expect(watched({}).become(state)).toBeUndefined();
  });

  it('when a label brings its pod under a policy', () => {
    const policies = [denying({ type: 'selector', labels: { fenced: 'yes' } })];
    const fenced = { ...web, labels: { fenced: 'yes' } };
    const { become } = watched({ policies });
    expect(become({ policies, workloads: [fenced, cart] })).toMatchObject({ policy: 'shop/deny' });
  });

  it('when its pod begins to serve a Service that a policy is for', () => {
    const policies = [denying({ type: 'services', services: [serviceKey('shop', 'web')] })];
    const { become } = watched({ policies });
    const other = service('shop/other', '10.96.0.2', '80:80', [{ address: '10.0.0.1' }]);
    expect(become({ policies, services: [other] })).toBeUndefined();
    const named = service('shop/web', '10.96.0.1', '80:80', [{ address: '10.0.0.1' }]);
    expect(become({ policies, services: [named] })).toMatchObject({ policy: 'shop/deny' });
  });

  it('when a policy changed between its decision and its beginning', () => {
    const { watch, connection, mesh, become } = watched({ policies: [ofNamespace] });
    watch.opened({ ...connection, meshVersion: mesh.view.version - 1 });
    expect(become({ policies: [ofNamespace] })).toMatchObject({ policy: 'shop/deny' });
  });
});

describe('a live connection goes on', () => {
  it('under policies that allow it, and when those that allowed it are deleted', () => {
    const allow: AuthorizationPolicy = { ...ofNamespace, action: 'allow' };
    const { become } = watched({ policies: [allow] });
    expect(become({})).toBeUndefined();
  });

  it('without being judged when nothing changes that it depends on', () => {
    const { become, judged } = watched({});
    become({ workloads: [web, { ...cart, labels: { new: 'label' } }] });
    become({ services: [service('shop/web', '10.96.0.1', '80:80', [{ address: '10.0.0.1' }])] });
    expect(judged()).toBe(0);
  });

  it('on the way out, where its own node has no say', () => {
    expect(watched({}, { direction: 'outbound' }).become({ policies: [ofNamespace] })).toBeUndefined();
  });

  it('is forgotten at its end', () => {
    const { watch, become, told } = watched({});
    watch.completed({ id: 'c-1' } as ConnectionRecord);
    expect(become({ policies: [ofNamespace] })).toBeUndefined();
    expect(told).toEqual(['opened', 'completed']);
  });
});
