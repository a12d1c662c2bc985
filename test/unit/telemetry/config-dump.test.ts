import { describe, expect, it } from '@jest/globals';
import { parseIp, parsePrefix, type Port } from '../../../src/base/ip.ts';
import type { TrustDomain } from '../../../src/model/identity.ts';
import { type Service, serviceKey } from '../../../src/model/mesh.ts';
import { type AuthorizationPolicy, policyKey } from '../../../src/model/policy.ts';
import type { MeshView } from '../../../src/model/view.ts';
import type { CertificateItem } from '../../../src/telemetry/admin-api.ts';
import { configDump } from '../../../src/telemetry/config-dump.ts';
import { cart, record, web, webService } from './records.ts';

const port = (value: number): Port => value as Port;
const podIp = parseIp('10.0.1.8');

const service: Service = {
  ...webService,
  key: serviceKey('shop', 'web'),
  vips: [parseIp('10.96.0.1'), parseIp('fd00::1')],
  ports: [{ name: 'http', port: port(80), protocol: 'tcp' }],
  endpoints: [
    {
      address: podIp,
      ports: new Map([[port(80), port(8080)]]),
      ready: true,
      serving: true,
      terminating: false,
    },
  ],
};

const policy: AuthorizationPolicy = {
  key: policyKey('shop', 'web-allow'),
  namespace: 'shop',
  name: 'web-allow',
  action: 'allow',
  scope: { type: 'selector', labels: { app: 'web' } },
  rules: [
    {
      from: [
        { principals: ['cluster.local/ns/shop/sa/*', '*'], notNamespaces: ['*-test'] },
        { serviceAccounts: ['a/b'] },
      ],
      to: [{ ports: [port(8080)] }],
      when: [{ notIpBlocks: [parsePrefix('10.0.0.0/8')] }],
    },
  ],
};

const view: MeshView = {
  version: 3,
  config: {
    trustDomain: 'cluster.local' as TrustDomain,
    clusterDomain: 'cluster.local',
    clusterId: 'c1',
    rootNamespace: 'mesh-system',
    clusterDns: [],
  },
  workloads: new Map([
    [cart.uid, cart],
    [web.uid, { ...web, addresses: [podIp] }],
  ]),
  services: new Map([[service.key, service]]),
  policies: new Map([[policy.key, policy]]),
  peerAuthentications: new Map(),
  access: new Map(),
  nodes: new Map(),
  workloadByIp: (ip) => (ip === podIp ? web : undefined),
  serviceByVip: () => undefined,
  servicesOfEndpoint: () => [],
};

const certificate: CertificateItem = {
  identity: web.identity,
  state: 'valid',
  serialNumber: 'ff',
  notBefore: '2026-11-21T10:00:00.000Z',
  notAfter: '2026-11-22T10:00:00.000Z',
  renewAt: null,
  lastError: null,
  workloads: [],
  chain: ['PEM'],
  roots: ['ROOT'],
};

describe('the dump for istioctl', () => {
  const dump = configDump({
    view,
    version: '0.1.0',
    certificates: [certificate],
    enrolled: [cart.uid],
    live: [record()],
  });

  it('describes workloads under the names istioctl prints', () => {
    expect(dump.workloads[1]).toMatchObject({
      name: 'web-1',
      namespace: 'shop',
      workloadIps: ['10.0.1.8'],
      protocol: 'HBONE',
      canonicalName: 'web',
      canonicalRevision: 'v2',
      trustDomain: 'cluster.local',
      node: 'node-a',
      status: 'Healthy',
      authorizationPolicies: ['shop/web-allow'],
    });
    expect(dump.workloads[0]?.authorizationPolicies).toEqual([]);
  });

  it('describes services with network-prefixed addresses and their endpoints', () => {
    expect(dump.services[0]).toMatchObject({
      vips: ['/10.96.0.1', '/fd00::1'],
      ports: { 80: 8080 },
      ipFamilies: 'Dual',
      endpoints: { [`${web.uid}:10.0.1.8`]: { workloadUid: web.uid, port: { 80: 8080 } } },
    });
  });

  it('describes a policy as rules of clauses of matches', () => {
    expect(dump.policies[0]).toEqual({
      name: 'web-allow',
      namespace: 'shop',
      scope: 'WorkloadSelector',
      action: 'Allow',
      rules: [
        [
          [
            {
              notNamespaces: [{ Suffix: '-test' }],
              principals: [{ Prefix: 'cluster.local/ns/shop/sa/' }, { Presence: {} }],
            },
            { serviceAccounts: [{ namespace: 'a', serviceAccount: 'b' }] },
          ],
          [{ destinationPorts: [8080] }],
          [{ notSourceIps: ['10.0.0.0/8'] }],
        ],
      ],
    });
  });

  it('has certificates as base64 of PEM with decimal serial numbers, and no private key', () => {
    expect(dump.certificates[0]).toEqual({
      identity: web.identity,
      state: 'Available',
      certChain: [
        {
          pem: Buffer.from('PEM').toString('base64'),
          serialNumber: '255',
          validFrom: '2026-11-21T10:00:00.000Z',
          expirationTime: '2026-11-22T10:00:00.000Z',
        },
      ],
      rootCerts: [expect.objectContaining({ pem: Buffer.from('ROOT').toString('base64') })],
    });
  });

  it('lists the live connections of each pod of this node, in their direction', () => {
    expect(Object.keys(dump.workloadState)).toEqual([cart.uid]);
    expect(dump.workloadState[cart.uid]).toEqual({
      state: 'Up',
      connections: {
        inbound: [],
        outbound: [{ src: '10.0.0.5:40000', originalDst: '10.96.0.1:80', actualDst: '10.0.1.8:15008' }],
      },
      info: { name: 'cart-1', namespace: 'shop', trustDomain: 'cluster.local', serviceAccount: 'cart' },
    });
  });
});
