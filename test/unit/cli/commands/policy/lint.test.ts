import { describe, expect, it } from '@jest/globals';
import { MeshError } from '../../../../../src/base/errors.ts';
import { fakeCluster, type FakeClusterOptions, forbidden, machine, runningPod } from '../../fake-cluster.ts';
import { document, type FakeNode, labNode, run } from '../../harness.ts';

const pods = `
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio.io/dataplane-mode: ambient}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: db, namespace: shop}
spec:
  template:
    metadata: {labels: {app: db}}
    spec:
      serviceAccountName: db
      containers: [{name: db, image: db, ports: [{containerPort: 5432}]}]
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop}
spec:
  serviceAccountName: web
  containers: [{name: web, image: web}]
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {selector: {app: db}, ports: [{port: 80, targetPort: 5432}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: other}
`;

const policy = (spec: string, name = 'db'): string => `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ${name}, namespace: shop}
spec:
  selector: {matchLabels: {app: db}}
  ${spec}
`;

const good = policy('rules: [{from: [{source: {principals: [cluster.local/ns/shop/sa/web]}}]}]');

const lintFiles = async (policies: string, flags = '') =>
  await run(`policy lint --files manifests --files policy.yaml ${flags}`, {
    files: { 'manifests/pods.yaml': pods, 'policy.yaml': policies },
  });

describe('mesh-ebpf policy lint, on files', () => {
  it('says that nothing was found, and what was not looked at', async () => {
    const { code, out, err } = await lintFiles(good);
    expect([code, out]).toEqual([0, '']);
    expect(err).toMatch(/1 ConfigMap/);
    expect(err).toMatch(/nothing found in 1 policy object/);
  });

  it('points at file, line and column, and says what to do', async () => {
    const wrong = policy(`rules:
    - from: [{source: {namespaces: [shop]}}]
      to: [{operation: {ports: ["80"]}}]`);
    const { code, out } = await lintFiles(wrong);
    expect(out).toMatch(
      /warning +unserved-port +authorizationpolicy\/shop\/db +policy\.yaml:9:33 +80 is a port of Service shop\/db; policies look at the pods’ own, 5432 +write "5432"/,
    );
    expect(code).toBe(0);
  });

  it('fails on warnings if it shall be strict', async () => {
    const { code } = await lintFiles(policy('rules: [{}]'), '--strict');
    expect(code).toBe(1);
  });

  it('fails on errors: what cannot be read, and HTTP conditions without a waypoint', async () => {
    const l7 = policy('rules: [{to: [{operation: {methods: [GET]}}]}]');
    const broken = policy('rules: [{from: [{source: {ipBlocks: [nonsense]}}]}]', 'broken');
    const { code, out } = await lintFiles(`${l7}---${broken}`);
    expect(code).toBe(1);
    expect(out).toMatch(/error +needs-waypoint +authorizationpolicy\/shop\/db +policy\.yaml:7:\d+/);
    expect(out).toMatch(/error +invalid +authorizationpolicy\/shop\/broken +policy\.yaml:14:\d+/);
  });

  it('tells principals of another trust domain, which the flag names', async () => {
    const foreign = good.replace('cluster.local', 'example.org');
    expect((await lintFiles(foreign)).out).toMatch(/foreign-principal/);
    expect((await lintFiles(foreign, '--trust-domain example.org')).out).toBe('');
  });

  it('finds NetworkPolicies that cut the mesh off', async () => {
    const network = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress: [{ports: [{port: 5432}]}]
`;
    const { code, out } = await lintFiles(network);
    expect(code).toBe(1);
    expect(out).toMatch(/error +blocks-hbone +networkpolicy\/shop\/db +policy\.yaml:7:12/);
  });

  it('leaves out what it is told to, and says how much', async () => {
    const two = policy('rules: [{}]');
    const { code, out, err } = await lintFiles(two, '--strict --ignore allows-everything=shop/db');
    expect([code, out]).toEqual([0, '']);
    expect(err).toMatch(/nothing found/);
    const other = await lintFiles(two, '--strict --ignore allows-everything=shop/other');
    expect(other.code).toBe(1);
  });

  it('says the same as JSON', async () => {
    const { out } = await lintFiles(policy('rules: [{}]'), '-o json');
    expect(JSON.parse(out)).toMatchObject({
      kind: 'PolicyFindingList',
      items: [
        {
          code: 'allows-everything',
          severity: 'warning',
          kind: 'AuthorizationPolicy',
          namespace: 'shop',
          name: 'db',
          field: 'spec.rules[0]',
          file: 'policy.yaml',
          line: 7,
        },
      ],
    });
  });

  it('says that it cannot judge selectors and sources where the files have no pod', async () => {
    const { code, err } = await run('policy lint --files policy.yaml', { files: { 'policy.yaml': good } });
    expect(code).toBe(0);
    expect(err).toMatch(/no pod in the files/);
  });

  it('does not take a missing file, or a wrong code, for a clean bill', async () => {
    expect((await run('policy lint --files nope.yaml')).code).toBe(1);
    expect((await run('policy lint --ignore nonsense')).code).toBe(2);
  });
});

const answering = (name: string, items: readonly object[]): FakeNode =>
  labNode(name, { '/v1/policies/lint': document('PolicyFindingList', { items }) });

describe('mesh-ebpf policy lint, on the running mesh', () => {
  const item = {
    code: 'selects-nobody',
    severity: 'warning',
    kind: 'AuthorizationPolicy',
    namespace: 'shop',
    name: 'db',
    field: 'spec.selector',
    file: null,
    line: null,
    column: null,
    message: 'no pod in reach has the labels app=dbb',
    hint: null,
  };

  it('asks one node, and shows what it found', async () => {
    const nodes = [answering('node-a', [item]), answering('node-b', [item])];
    const { code, out, requests } = await run('policy lint --strict', { nodes });
    expect(code).toBe(1);
    expect(out).toMatch(/warning +selects-nobody +authorizationpolicy\/shop\/db +spec\.selector/);
    expect(requests.map(({ method, socket }) => [method, socket])).toHaveLength(1);
  });

  it('asks the next one if a node is silent, and cannot tell if all are', async () => {
    const silent = labNode('node-a', { '/v1/policies/lint': new MeshError('UNAVAILABLE', 'gone') });
    const { code } = await run('policy lint', { nodes: [silent, answering('node-b', [])] });
    expect(code).toBe(0);
    expect((await run('policy lint', { nodes: [silent] })).code).toBe(3);
  });

  describe('of a cluster', () => {
    const networkPolicy = {
      metadata: { name: 'db', namespace: 'shop', managedFields: [] },
      spec: { ingress: [{ ports: [{ port: 80 }] }] },
    };
    const bodies: string[] = [];
    const answer = ({ body = '' }: { readonly body?: string }): object => {
      bodies.push(body);
      return { node: 'node-a', ...document('PolicyFindingList', { items: [item] }) };
    };
    const lintCluster = async (extra: FakeClusterOptions) => {
      const cluster = fakeCluster({
        pods: [runningPod('node-a')],
        machines: { 'node-a': machine('node-a', { '/v1/policies/lint': answer }) },
        objects: { '/apis/networking.k8s.io/v1/networkpolicies': { items: [networkPolicy] } },
        ...extra,
      });
      return await run('policy lint', { cluster: () => cluster });
    };

    it('looks at NetworkPolicies, too, with the rights of whoever asks', async () => {
      const { out, err } = await lintCluster({});
      expect(out).toMatch(/selects-nobody/);
      expect(err).not.toMatch(/NetworkPolicies/);
      expect(JSON.parse(bodies.at(-1) ?? '')).toEqual({
        items: [
          {
            apiVersion: 'networking.k8s.io/v1',
            kind: 'NetworkPolicy',
            metadata: { name: 'db', namespace: 'shop' },
            spec: networkPolicy.spec,
          },
        ],
        namespaces: [],
      });
    });

    it('tells the labels of namespaces with them, where they select by these', async () => {
      const spec = { ingress: [{ from: [{ namespaceSelector: { matchLabels: { team: 'data' } } }] }] };
      const batch = { metadata: { name: 'batch', labels: { team: 'data' }, managedFields: [] } };
      const objects = {
        '/apis/networking.k8s.io/v1/networkpolicies': { items: [{ ...networkPolicy, spec }] },
        '/api/v1/namespaces': { items: [batch] },
      };
      await lintCluster({ objects });
      expect(JSON.parse(bodies.at(-1) ?? '')).toMatchObject({
        namespaces: [{ name: 'batch', labels: { team: 'data' } }],
      });
      const { err } = await lintCluster({
        objects,
        refuse: ({ path }) =>
          path.endsWith('/namespaces') ? forbidden('list', 'namespaces', '') : undefined,
      });
      expect(err).toMatch(/labels of namespaces are not known/);
    });

    it('says so where it may not, and judges the rest', async () => {
      const { out, err } = await lintCluster({
        refuse: ({ path }) =>
          path.endsWith('/networkpolicies')
            ? forbidden('list', 'networkpolicies', 'networking.k8s.io')
            : undefined,
      });
      expect(out).toMatch(/selects-nobody/);
      expect(err).toMatch(/NetworkPolicies were not looked at/);
      expect(bodies.at(-1)).toBe('');
    });
  });

  it('shows one namespace only if asked', async () => {
    const { out } = await run('policy lint -n blog', { nodes: [answering('node-a', [item])] });
    expect(out).toBe('');
  });
});
