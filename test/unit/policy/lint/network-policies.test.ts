/** NetworkPolicies and whom they let through: what is cut off from whom. */
import { describe, expect, it } from '@jest/globals';
import { parsePort, parsePrefix } from '../../../../src/base/ip.ts';
import type {
  LintInput,
  NetworkPeer,
  NetworkPolicy,
  NetworkRule,
} from '../../../../src/policy/lint/input.ts';
import { lint } from '../../../../src/policy/lint/lint.ts';
import { meshOf, pod, service } from '../../../support/mesh-builder.ts';

const web = pod('shop/web', { ips: ['10.0.0.1'], labels: { app: 'web' } });
const db = pod('shop/db', { ips: ['10.0.0.2'], labels: { app: 'db' } });
const job = pod('batch/job', { ips: ['10.0.0.4'], labels: { app: 'job' } });
const report = pod('batch/report', { ips: ['10.0.0.5'], labels: { app: 'report' } });
const legacy = pod('old/legacy', { ips: ['10.0.0.3'], protocol: 'tcp', labels: { app: 'legacy' } });
const dns = pod('kube-system/dns', { ips: ['10.0.0.53'], protocol: 'tcp', labels: { app: 'dns' } });
const dnsService = service('kube-system/kube-dns', '10.96.0.10', '53:53', [{ address: '10.0.0.53' }]);
const { view } = meshOf({ workloads: [web, db, job, report, legacy, dns], services: [dnsService] });

const app = (name: string) => [{ key: 'app', operator: 'In', values: [name] }] as const;
const pods = (name: string): NetworkPeer => ({ type: 'pods', namespaces: undefined, pods: app(name) });
const namespace = (key: string, value: string): NetworkPeer => ({
  type: 'pods',
  namespaces: [{ key, operator: 'In', values: [value] }],
  pods: [],
});
const inNamespace = (name: string): NetworkPeer => namespace('kubernetes.io/metadata.name', name);
const block = (cidr: string, ...except: readonly string[]): NetworkPeer => ({
  type: 'block',
  prefix: parsePrefix(cidr),
  except: except.map(parsePrefix),
});

const rule = (peers: readonly NetworkPeer[] | undefined, ...ports: readonly number[]): NetworkRule => ({
  peers,
  ports: ports.map((port) => ({ protocol: 'TCP', port: parsePort(port), endPort: undefined })),
});
const udpDns = (...peers: readonly NetworkPeer[]): NetworkRule => ({
  peers,
  ports: [{ protocol: 'UDP', port: parsePort(53), endPort: undefined }],
});

const network = (extra: Partial<NetworkPolicy>): NetworkPolicy => ({
  namespace: 'shop',
  name: 'db',
  pods: app('db'),
  ingress: undefined,
  egress: undefined,
  ...extra,
});

function found(
  networkPolicies: readonly NetworkPolicy[],
  namespaceLabels: LintInput['namespaceLabels'] = new Map(),
) {
  const input = { view, complete: true, declaredPorts: undefined, controller: undefined } as const;
  return lint({ ...input, networkPolicies, namespaces: new Set(), namespaceLabels });
}

const messages = (...policies: readonly NetworkPolicy[]): readonly string[] =>
  found(policies).map(({ message }) => message);

describe('a NetworkPolicy that opens the mesh’s port to some of those it lets through', () => {
  it('says who the others are, and what to add', () => {
    const [one, ...more] = found([
      network({ ingress: [rule([pods('web'), inNamespace('batch')], 5432), rule([pods('web')], 15008)] }),
    ]);
    expect(more).toEqual([]);
    expect(one).toMatchObject({
      code: 'blocks-hbone',
      field: 'spec.ingress',
      message:
        'TCP port 15008, by which connections of the mesh come in, is not open for pod db of the mesh, from batch/job, batch/report, which it lets through by other ports only',
      hint: 'add to its ingress rules: ports: [{protocol: TCP, port: 15008}], with the same from',
    });
  });

  it('says so of everybody, where who may use the application’s port is not said', () => {
    const [one] = messages(network({ ingress: [rule(undefined, 5432), rule([pods('web')], 15008)] }));
    expect(one).toMatch(/from batch\/job, batch\/report, which/);
  });

  it('says so of where pods may go, too', () => {
    const [one, ...more] = messages(
      network({
        egress: [
          rule([pods('web'), inNamespace('batch')], 80),
          rule([inNamespace('batch')], 15008),
          udpDns(inNamespace('kube-system')),
        ],
      }),
    );
    expect(more).toEqual([]);
    expect(one).toMatch(
      /connections of the mesh go out, is not open for pod db of the mesh, to shop\/web, which/,
    );
  });
});

describe('a NetworkPolicy is fine', () => {
  it.each([
    ['if it keeps out on every port whom it keeps out', { ingress: [rule([pods('web')], 5432, 15008)] }],
    ['if everything is open to some', { ingress: [{ peers: [pods('web')], ports: undefined }] }],
    [
      'if another of its rules opens the port to them',
      { ingress: [rule([pods('web')], 5432), rule([block('10.0.0.0/24', '10.0.0.5/32')], 15008)] },
    ],
    ['if it is about addresses outside', { ingress: [rule([block('203.0.113.0/24')], 443)] }],
    [
      'if those it lets through are not in the mesh',
      {
        ingress: [rule([inNamespace('old')], 5432), rule([pods('web')], 15008)],
      },
    ],
    ['if only the pod itself is left', { ingress: [rule([pods('db')], 5432), rule([pods('web')], 15008)] }],
  ] as const)('%s', (_, extra) => {
    expect(messages(network(extra))).toEqual([]);
  });

  it('if another one for the same pods opens the port to them', () => {
    const mesh = network({ name: 'mesh', pods: [], ingress: [rule([inNamespace('batch')], 15008)] });
    expect(messages(network({ ingress: [rule([inNamespace('batch')], 5432)] }), mesh)).toEqual([]);
  });
});

describe('a NetworkPolicy that closes the mesh’s port to all', () => {
  it('is found by addresses of pods, and by labels that no pod has yet', () => {
    expect(messages(network({ ingress: [rule([block('10.0.0.0/8')], 5432)] }))).toEqual([
      'TCP port 15008, by which connections of the mesh come in, is not open for pod db of the mesh',
    ]);
    expect(messages(network({ ingress: [rule([pods('later')], 5432)] }))).toHaveLength(1);
  });
});

describe('namespaces selected by their labels', () => {
  const byTeam = network({
    ingress: [rule([namespace('team', 'data')], 5432), rule([pods('web')], 15008)],
  });

  it('are judged where the labels are known', () => {
    const labels = new Map([['batch', { team: 'data' }]]);
    expect(found([byTeam], labels)).toMatchObject([{ code: 'blocks-hbone' }]);
    expect(found([byTeam], new Map([['batch', { team: 'web' }]]))).toEqual([]);
  });

  it('may be any, where they are not: nothing is said that may not be so', () => {
    expect(found([byTeam])).toEqual([]);
    const opened = network({
      ingress: [rule([inNamespace('batch')], 5432), rule([namespace('team', 'data')], 15008)],
    });
    expect(found([opened])).toEqual([]);
  });
});

describe('DNS', () => {
  const open = rule(undefined, 15008);

  it('is blocked if port 53 is open to somebody else', () => {
    expect(found([network({ egress: [open, udpDns(pods('web'))] })])).toMatchObject([
      { code: 'blocks-dns', field: 'spec.egress' },
    ]);
  });

  it.each([
    ['the namespace of the servers', inNamespace('kube-system')],
    ['their pods', { ...inNamespace('kube-system'), pods: app('dns') } as NetworkPeer],
    ['an address', block('10.96.0.10/32')],
  ])('is not blocked if it is open to %s', (_, peer) => {
    expect(found([network({ egress: [open, udpDns(peer)] })])).toEqual([]);
  });
});
