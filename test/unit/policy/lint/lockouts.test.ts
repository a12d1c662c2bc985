/** Policies that keep out what the mesh, or everything in it, needs: NetworkPolicies, default denies, egress rules. */
import { describe, expect, it } from '@jest/globals';
import { parsePort } from '../../../../src/base/ip.ts';
import type { NamespaceAccess } from '../../../../src/model/access.ts';
import type { NetworkPolicy } from '../../../../src/policy/lint/input.ts';
import { pod, service } from '../../../support/mesh-builder.ts';
import { authorization, brief, db, dbService, found, web } from './linting.ts';

const network = (extra: Partial<NetworkPolicy>): NetworkPolicy => ({
  namespace: 'shop',
  name: 'db',
  pods: [{ key: 'app', operator: 'In', values: ['db'] }],
  ingress: undefined,
  egress: undefined,
  ...extra,
});

const tcp = (port: number, endPort?: number) =>
  ({ peers: undefined, ports: [{ protocol: 'TCP', port: parsePort(port), endPort }] }) as const;

const networked = (...networkPolicies: NetworkPolicy[]) => brief(found({}, { networkPolicies }));

describe('NetworkPolicies', () => {
  it('that open the application’s port only cut the mesh off', () => {
    expect(networked(network({ ingress: [tcp(5432)] }))).toEqual(['blocks-hbone spec.ingress']);
    expect(networked(network({ egress: [tcp(5432)] }))).toEqual([
      'blocks-hbone spec.egress',
      'blocks-dns spec.egress',
    ]);
  });

  it.each([
    ['open the port', network({ ingress: [tcp(5432), tcp(15008)] })],
    ['open a range with it', network({ ingress: [tcp(15000, 16000)] })],
    ['open every port', network({ ingress: [{ peers: undefined, ports: undefined }] })],
    ['are for pods outside the mesh', network({ namespace: 'old', pods: [], ingress: [tcp(80)] })],
    [
      'are for no pod',
      network({ pods: [{ key: 'app', operator: 'NotIn', values: ['db', 'web'] }], ingress: [tcp(80)] }),
    ],
    ['deny everything, which is meant', network({ ingress: [] })],
  ])('that %s are fine', (_, policy) => {
    expect(networked(policy)).toEqual([]);
  });

  it('add up: it is enough that one opens the port', () => {
    const other = network({ name: 'mesh', pods: [], ingress: [tcp(15008)] });
    expect(networked(network({ ingress: [tcp(5432)] }), other)).toEqual([]);
  });
});

const access = (rules: NonNullable<NamespaceAccess['egress']>['rules']): NamespaceAccess => ({
  key: 'namespaceaccess/shop/out' as NamespaceAccess['key'],
  namespace: 'shop',
  name: 'out',
  labels: {},
  inbound: undefined,
  egress: { default: 'deny', rules },
});

describe('policies that lock out what everything needs', () => {
  const dns = pod('kube-system/dns', { ips: ['10.0.0.53'], labels: { app: 'dns' } });
  const dnsService = service('kube-system/kube-dns', '10.96.0.10', '53:53', [{ address: '10.0.0.53' }]);
  const base = { workloads: [web, db, dns], services: [dbService, dnsService] };
  const nothing = authorization('nothing', { scope: { type: 'mesh' }, rules: [] }, 'istio-system');

  it('are default denies that reach the cluster’s DNS', () => {
    const [one] = found({ ...base, policies: [nothing] });
    expect(one).toMatchObject({
      code: 'locks-out-dns',
      object: { namespace: 'istio-system', name: 'nothing' },
    });
  });

  it('are no default denies where DNS is not in the mesh, or is allowed', () => {
    const outside = { ...dns, protocol: 'tcp' as const };
    expect(found({ ...base, workloads: [web, outside], policies: [nothing] })).toEqual([]);
    const scope = { type: 'namespace' } as const;
    const rules = [{ to: [{ ports: [parsePort(53)] }] }];
    const dnsAllowed = authorization('dns', { scope, rules }, 'kube-system');
    expect(brief(found({ ...base, policies: [nothing, dnsAllowed] }))).toEqual(['any-source spec.rules[0]']);
  });

  it('are those that refuse node programs at the certificate authority', () => {
    const controller = pod('mesh/controller', { ips: ['10.0.0.15'] });
    const ca = service('mesh/controller', '10.96.0.15', '15012:15012', [{ address: '10.0.0.15' }]);
    const spec = { workloads: [web, controller], services: [ca], policies: [nothing] };
    expect(brief(found(spec, { controller: ca.key }))).toEqual(['locks-out-mesh']);
    expect(found({ ...spec, policies: [] }, { controller: ca.key })).toEqual([]);
  });

  it('are NamespaceAccess objects whose rules close DNS', () => {
    const udp = [
      { action: 'deny', to: undefined, ports: [{ protocol: 'udp', first: 1, last: 100 }] },
    ] as const;
    expect(brief(found({ ...base, access: [access(udp)] }))).toEqual(['blocks-dns spec.egress']);
    expect(found({ ...base, access: [access([])] })).toEqual([]);
  });
});
