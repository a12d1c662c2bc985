/** Small random meshes: few names and values, so that policies often concern the connections asked about. */
import * as fc from 'fast-check';
import { parsePort, parsePrefix } from '../../../../src/base/ip.ts';
import type { NamespaceAccess } from '../../../../src/model/access.ts';
import type { Workload } from '../../../../src/model/mesh.ts';
import {
  type AuthorizationPolicy,
  type PeerAuthentication,
  peerAuthenticationKey,
  policyActions,
  policyKey,
  type PolicyMatch,
  type PolicyRule,
  type PolicyScope,
} from '../../../../src/model/policy.ts';
import { serviceKey } from '../../../../src/model/mesh.ts';
import { access, rule } from '../../../support/egress.ts';
import { type MeshSpec, pod, service } from '../../../support/mesh-builder.ts';

export const pods: readonly Workload[] = [
  pod('shop/web', { ips: ['10.1.0.1'], labels: { app: 'web' } }),
  pod('shop/db', { ips: ['10.1.1.2'], node: 'node-b', labels: { app: 'db' } }),
  pod('shop/db-2', { ips: ['10.1.0.3'], serviceAccount: 'db', labels: { app: 'db', tier: 'back' } }),
  pod('other/guest', { ips: ['10.1.1.4'], node: 'node-b', labels: { app: 'web' } }),
  pod('legacy/old', { ips: ['10.1.0.5'], protocol: 'tcp' }),
];

const services = [
  service('shop/db', '10.96.0.1', '5432:5433', [{ address: '10.1.1.2' }, { address: '10.1.0.3' }]),
  service('shop/mixed', '10.96.0.2', '80:8080', [{ address: '10.1.1.2' }, { address: '10.1.0.5' }]),
  service('legacy/old', '10.96.0.3', '80:8080', [{ address: '10.1.0.5' }]),
  service('shop/away', '10.96.0.4', '80:8080', [{ address: '10.1.1.2', ready: false }]),
  service('shop/none', '10.96.0.5', '80:8080', []),
];

/** What may be dialled. */
export const targets = [
  '10.96.0.1:5432',
  '10.96.0.1:5433',
  '10.96.0.2:80',
  '10.96.0.3:80',
  '10.96.0.4:80',
  '10.96.0.5:80',
  '10.1.1.2:5433',
  '10.1.0.3:80',
  '10.1.1.4:80',
  '10.1.1.4:15008',
  '10.1.0.5:80',
  '203.0.113.7:443',
  '192.0.2.1:80',
];

const few = <T>(item: fc.Arbitrary<T>): fc.Arbitrary<T[]> => fc.array(item, { maxLength: 2 });
const text = (...values: string[]) => few(fc.constantFrom(...values));
const blocks = few(
  fc.constantFrom('10.1.0.0/24', '10.1.1.4/32', '0.0.0.0/0', '10.1.1.0/24').map(parsePrefix),
);
const ports = few(fc.constantFrom(80, 5433, 8080).map(parsePort));
const principals = text('cluster.local/ns/shop/sa/web', 'cluster.local/ns/shop/*', '*/sa/guest', '*');

const match: fc.Arbitrary<PolicyMatch> = fc.record(
  {
    namespaces: text('shop', 'other', '*'),
    notNamespaces: text('shop', 'other', '*'),
    principals,
    notPrincipals: principals,
    serviceAccounts: text('shop/web', 'other/guest'),
    ipBlocks: blocks,
    notIpBlocks: blocks,
    destinationIps: blocks,
    ports,
    notPorts: ports,
  },
  { requiredKeys: [] },
);

const policyRule: fc.Arbitrary<PolicyRule> = fc.record(
  { from: few(match), to: few(match), when: few(match) },
  { requiredKeys: [] },
);

const selector = fc
  .constantFrom<Readonly<Record<string, string>>>({ app: 'db' }, { app: 'web' }, { app: 'db', tier: 'back' })
  .map((labels): PolicyScope => ({ type: 'selector', labels }));
const anyScope: fc.Arbitrary<PolicyScope> = fc.oneof(
  fc.constant<PolicyScope>({ type: 'namespace' }),
  selector,
  fc.constant<PolicyScope>({ type: 'services', services: [serviceKey('shop', 'db')] }),
);

const scopeIn = (namespace: string, scope: PolicyScope): PolicyScope =>
  namespace === 'istio-system' && scope.type === 'namespace' ? { type: 'mesh' } : scope;

const namespaces = fc.constantFrom('shop', 'other', 'istio-system');

const policies: fc.Arbitrary<readonly AuthorizationPolicy[]> = fc
  .array(
    fc.record({
      namespace: namespaces,
      action: fc.constantFrom(...policyActions),
      scope: anyScope,
      rules: few(policyRule),
      dry: fc.boolean(),
    }),
    { maxLength: 5 },
  )
  .map((all) =>
    all.map(({ namespace, scope, dry, ...rest }, i) => ({
      ...rest,
      key: policyKey(namespace, `p${i}`),
      namespace,
      name: `p${i}`,
      scope: scopeIn(namespace, scope),
      ...(dry && i % 2 === 0 ? { dryRun: true as const } : {}),
    })),
  );

const mode = fc.constantFrom('strict', 'permissive', undefined);
const peers: fc.Arbitrary<readonly PeerAuthentication[]> = fc
  .array(
    fc.record({
      namespace: namespaces,
      scope: fc.oneof(fc.constant<PolicyScope>({ type: 'namespace' }), selector),
      mode,
    }),
    {
      maxLength: 2,
    },
  )
  .map((all) =>
    all.map(({ namespace, scope, mode: chosen }, i) => ({
      key: peerAuthenticationKey(namespace, `m${i}`),
      namespace,
      name: `m${i}`,
      createdAt: '',
      scope: scopeIn(namespace, scope) as PeerAuthentication['scope'],
      mode: chosen as PeerAuthentication['mode'],
      ports: new Map(),
    })),
  );

const accesses: fc.Arbitrary<readonly NamespaceAccess[]> = fc
  .array(
    fc.record({
      namespace: fc.constantFrom('shop', 'other'),
      inbound: fc.constantFrom('allow', 'deny', undefined),
      egress: fc.constantFrom('allow', 'deny', undefined),
      rules: few(
        fc.constantFrom(
          rule('allow', '203.0.113.0/24'),
          rule('deny', '203.0.113.7/32'),
          rule('allow', 'shop/mixed'),
        ),
      ),
      labels: fc.constantFrom<Readonly<Record<string, string>>>({}, { app: 'db' }),
    }),
    { maxLength: 2 },
  )
  .map((all) =>
    all.map(({ namespace, inbound, egress, rules, labels }, i) =>
      access(`${namespace}/a${i}`, {
        labels,
        inbound,
        egress: egress === undefined ? undefined : { default: egress, rules },
      }),
    ),
  );

export const worlds: fc.Arbitrary<MeshSpec> = fc.record({ policies, peers, accesses }).map((given) => ({
  workloads: pods,
  services,
  policies: given.policies,
  peerAuthentications: given.peers,
  access: given.accesses,
}));
