/** Controllers of a cluster against an API server on loopback: real HTTP, real TLS, the real time. */
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { authorityInCluster } from '../../../src/apps/ca-access.ts';
import { runClusterController } from '../../../src/apps/cluster-controller.ts';
import { clusterControllerConfig } from '../../../src/apps/config/cluster-controller-config.ts';
import { kustomize } from '../../../src/apps/install/kustomize.ts';
import { manifestFiles } from '../../../src/apps/install/manifest-files.ts';
import { controllerName } from '../../../src/controller/kubernetes/names.ts';
import { formatSocketAddress, type SocketAddress } from '../../../src/base/ip.ts';
import { type Logger, silentLogger } from '../../../src/base/log.ts';
import { GrpcCaClient } from '../../../src/identity/grpc-ca-client.ts';
import type { Port } from '../../../src/base/ip.ts';
import type { SourceCondition } from '../../../src/kube/source.ts';
import { FakeKubeApi, type SeenRequest } from '../../support/fake-kube-api.ts';
import { allows, attributesOf, grantedTo, rightOf } from '../../support/rbac.ts';
import { projectedToken, reviewOf } from '../../support/service-account-token.ts';
import { idOf, sign } from '../ca/rig.ts';
import { reportingNode, reportOnce } from './reporting-node.ts';

// Leases are renewed and rotations taken up every few seconds of real time, perhaps while every core is busy.
jest.setTimeout(120_000);

const system = '/api/v1/namespaces/mesh-ebpf-system';
const secretPath = `${system}/secrets/mesh-ebpf-ca`;
const leasePath = '/apis/coordination.k8s.io/v1/namespaces/mesh-ebpf-system/leases/mesh-ebpf-controller';
const bundlePath = (namespace: string): string =>
  `/api/v1/namespaces/${namespace}/configmaps/mesh-ebpf-ca-root-cert`;

/** What the manifests grant to the controller's service account; what the tests below made it use. */
const granted = grantedTo(kustomize(manifestFiles(), 'base'), controllerName);
const used = new Set<string>();

/** The API server decides as the manifests say: what the controller asks for and may not would fail here. */
function forbidden(request: SeenRequest): ReturnType<FakeKubeApi['fail']> {
  if (request.authorization !== 'Bearer mine') return undefined;
  const wanted = attributesOf(request);
  const right = granted.find((each) => allows(each, wanted));
  if (right !== undefined) used.add(rightOf(right, wanted.verb));
  // Server-side apply of what is not there is a creation, too.
  const isCreation = wanted.verb === 'patch' && !api.objects.has(request.path.replace(/\/status$/, ''));
  const creation = { ...wanted, verb: 'create', name: undefined };
  const creates = granted.find((each) => allows(each, creation));
  if (isCreation && creates !== undefined) used.add(rightOf(creates, 'create'));
  if (right !== undefined && (!isCreation || creates !== undefined)) return undefined;
  return { status: 403, reason: 'Forbidden', message: JSON.stringify(wanted) };
}

interface Replica {
  readonly address: Promise<SocketAddress>;
  readonly lines: { readonly message: string; readonly [field: string]: unknown }[];
  stop(): Promise<void>;
}

let api: FakeKubeApi;
let directory: string;
let replicas: Replica[];
let clients: GrpcCaClient[];

beforeEach(async () => {
  api = await FakeKubeApi.start();
  api.fail = forbidden;
  api.review = () => reviewOf({ node: 'node-a' });
  api.put('/api/v1/namespaces/shop', {
    metadata: { labels: { 'istio.io/dataplane-mode': 'ambient' } },
    status: { phase: 'Active' },
  });
  addPod('web', 'node-a');
  addPod('db', 'node-b');
  directory = mkdtempSync(join(tmpdir(), 'mesh-ebpf-cluster-'));
  writeFileSync(join(directory, 'token'), projectedToken());
  replicas = [];
  clients = [];
});
afterAll(() => {
  const unused = granted
    .flatMap((each) => each.rule.verbs.map((verb) => rightOf(each, verb)))
    .filter((right) => !used.has(right));
  // Only an API server older than 1.30 makes the controller read a pod, and only a missing kind its definition.
  expect(unused).toEqual([
    expect.stringMatching(/^get pods /),
    expect.stringMatching(/^watch customresourcedefinitions /),
  ]);
});
afterEach(async () => {
  for (const client of clients) client.close();
  await Promise.all(replicas.map(async (replica) => await replica.stop()));
  await api.stop();
  rmSync(directory, { recursive: true });
});

function addPod(account: string, nodeName: string): void {
  api.put(`/api/v1/namespaces/shop/pods/${account}-1`, {
    spec: { nodeName, serviceAccountName: account },
    status: { phase: 'Running' },
  });
}

function start(name: string): Replica {
  const lines: Replica['lines'] = [];
  const write = (fields: object, message: string): void => void lines.push({ ...fields, message });
  const log: Logger = {
    ...silentLogger,
    debug: write,
    info: write,
    warn: write,
    error: write,
    child: () => log,
  };
  const stop = new AbortController();
  const address = Promise.withResolvers<SocketAddress>();
  const config = clusterControllerConfig({ listen: '127.0.0.1:1' }, { POD_NAME: name });
  const running = runClusterController(
    { ...config, listen: { ...config.listen, port: 0 as Port } },
    {
      client: api.client(),
      server: api.access,
      log,
      upkeepMs: 100,
      version: 'test',
      ports: { metrics: 0, readiness: 0 },
      serving: address.resolve,
    },
    stop.signal,
  );
  const replica = {
    address: address.promise,
    lines,
    stop: async () => {
      stop.abort();
      await running;
    },
  };
  replicas.push(replica);
  return replica;
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 60_000;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error('it did not happen within a minute');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const bundleIn = (namespace: string): string => {
  const data = api.objects.get(bundlePath(namespace))?.['data'] as Record<string, string> | undefined;
  return data?.['root-cert.pem'] ?? '';
};
const holder = (): unknown =>
  (api.objects.get(leasePath)?.['spec'] as Record<string, unknown> | undefined)?.['holderIdentity'];

/** Asks a replica as node-a would. */
async function ask(replica: Replica, account: string): Promise<readonly string[]> {
  writeFileSync(join(directory, 'roots.pem'), bundleIn('mesh-ebpf-system'));
  const client = new GrpcCaClient({
    address: formatSocketAddress(await replica.address),
    rootsFile: join(directory, 'roots.pem'),
    tokenFile: join(directory, 'token'),
    serverName: 'mesh-ebpf-controller.mesh-ebpf-system.svc',
    deadlineMs: 30_000,
  });
  clients.push(client);
  return await sign(client, idOf(account));
}

describe('two controllers in a new cluster', () => {
  it('make one authority, publish its roots where the mesh is, and both sign under it', async () => {
    const [a, b] = [start('a'), start('b')];
    await Promise.all([a.address, b.address]);
    await until(() => bundleIn('shop') !== '' && bundleIn('mesh-ebpf-system') !== '');
    const root = new X509Certificate(bundleIn('shop'));
    for (const replica of [a, b]) {
      const [leaf = '', intermediate = ''] = await ask(replica, 'web');
      expect(new X509Certificate(leaf).subjectAltName).toBe(`URI:${idOf('web')}`);
      expect(new X509Certificate(intermediate).verify(root.publicKey)).toBe(true);
    }
    expect(JSON.stringify([...a.lines, ...b.lines])).not.toMatch(/PRIVATE KEY|c2lnbmF0dXJl/);
  });

  it('give a node nothing for a service account that has no pod on it', async () => {
    const replica = start('a');
    await replica.address;
    await until(() => bundleIn('mesh-ebpf-system') !== '');
    await expect(ask(replica, 'db')).rejects.toMatchObject({
      code: 'CA_REFUSED',
      message: expect.stringContaining('no pod of service account shop/db is on node node-a'),
    });
    addPod('db', 'node-a');
    expect(await ask(replica, 'db')).toHaveLength(3);
  });

  it('lead one after the other: the next one begins when the first one stops', async () => {
    const a = start('a');
    await a.address;
    const b = start('b');
    await b.address;
    expect(holder()).toBe('a');
    await a.stop();
    await until(() => holder() === 'b');
    api.objects.delete(bundlePath('shop'));
    await until(() => bundleIn('shop') !== '');
  });

  it('take the roots out of a namespace that leaves the mesh', async () => {
    const a = start('a');
    await a.address;
    await until(() => bundleIn('shop') !== '');
    api.put('/api/v1/namespaces/shop', { metadata: { labels: {} }, status: { phase: 'Active' } });
    await until(() => !api.objects.has(bundlePath('shop')));
    expect(bundleIn('mesh-ebpf-system')).not.toBe('');
  });
});

describe('a rotation of the root by command', () => {
  it('is done by the leader, trusted everywhere before it signs, and followed by the others', async () => {
    const [a, b] = [start('a'), start('b')];
    await Promise.all([a.address, b.address]);
    const access = authorityInCluster(api.client(), { namespace: 'mesh-ebpf-system', timeoutMs: 60_000 });
    await until(() => bundleIn('shop') !== '' && api.objects.has(`${system}/configmaps/mesh-ebpf-ca-status`));
    const before = bundleIn('shop');
    expect((await access.status()).rotation).toEqual({ stage: 'stable' });
    await access.rotate('root');
    expect((await access.status()).rotation).toMatchObject({ stage: 'distributing' });
    await until(() => bundleIn('shop') !== before);
    expect(bundleIn('shop')).toContain(before);
    for (const replica of [a, b]) {
      await until(async () => (await ask(replica, 'web')).at(-1) === bundleIn('shop'));
      const [, intermediate = ''] = await ask(replica, 'web');
      expect(new X509Certificate(intermediate).verify(new X509Certificate(before).publicKey)).toBe(true);
    }
    await expect(access.rotate('root')).rejects.toMatchObject({
      code: 'CA_REFUSED',
      message: expect.stringContaining('under way'),
    });
    expect(JSON.stringify(api.objects.get(`${system}/configmaps/mesh-ebpf-ca-status`))).not.toContain(
      'PRIVATE',
    );
  });
});

describe('policies', () => {
  const policyPath = '/apis/security.istio.io/v1/namespaces/shop/authorizationpolicies/p';
  const istiod = { type: 'ZtunnelAccepted', status: 'True', reason: 'Accepted', observedGeneration: '1' };

  const applyPolicy = (generation: number, spec: object, status: object = {}): void =>
    api.put(policyPath, { metadata: { uid: 'uid-p', generation }, spec, status });
  const said = (path = policyPath): readonly Record<string, unknown>[] => {
    const status = api.objects.get(path)?.['status'] as
      { conditions?: Record<string, unknown>[] } | undefined;
    return status?.conditions ?? [];
  };
  const condition = (word: string, path = policyPath): Record<string, unknown> =>
    said(path).find(({ type }) => type === `mesh-ebpf.io/${word}`) ?? {};

  const nodeOf = async (
    running: readonly Replica[],
    node: { version: string },
  ): Promise<() => readonly SourceCondition[]> => {
    writeFileSync(join(directory, 'roots.pem'), bundleIn('mesh-ebpf-system'));
    const addresses = await Promise.all(running.map(async ({ address }) => await address));
    const { conditions, cleanup } = reportingNode(directory, addresses, node);
    stopping.push(cleanup);
    return conditions;
  };

  const stopping: AsyncDisposableStack[] = [];
  beforeEach(() => {
    api.put(`${system}/pods/mesh-ebpf-node-1`, {
      spec: { nodeName: 'node-a', serviceAccountName: 'mesh-ebpf-node', hostNetwork: true },
      status: { phase: 'Running' },
    });
  });
  afterEach(async () => {
    await Promise.all(stopping.splice(0).map(async (each) => await each.disposeAsync()));
  });

  it('say whether they are accepted and which nodes run them, beside what istiod says', async () => {
    applyPolicy(1, { rules: [{ to: [{ operation: { methods: ['GET'] } }] }] }, { conditions: [istiod] });
    const [a, b] = [start('a'), start('b')];
    await Promise.all([a.address, b.address]);
    await until(() => condition('Accepted')['status'] !== undefined);
    expect(condition('Accepted')).toMatchObject({
      status: 'True',
      reason: 'UnsupportedValue',
      observedGeneration: 1,
      message: expect.stringContaining('spec.rules[0].to[0].operation.methods'),
    });
    const node = { version: api.objects.get(policyPath)?.metadata.resourceVersion ?? '' };
    await nodeOf([a, b], node);
    await until(() => condition('Programmed')['status'] === 'True');
    expect(condition('Programmed')).toMatchObject({ message: 'the only node runs generation 1' });
    expect(said()).toContainEqual(istiod);

    applyPolicy(2, { action: 'DENY' }, { conditions: said() });
    await until(() => condition('Accepted')['observedGeneration'] === 2);
    expect(condition('Accepted')).toMatchObject({
      status: 'False',
      reason: 'Invalid',
      message: expect.stringContaining('spec.rules: a DENY policy without rules denies nothing'),
    });
    applyPolicy(3, { rules: [{}] }, { conditions: said() });
    await until(() => condition('Programmed')['reason'] === 'Progressing');
    expect(condition('Programmed')['message']).toContain(
      '0 of 1 nodes run generation 3; oldest: node-a runs',
    );
    // The next leader knows what the first one knew: nodes tell every replica.
    await a.stop();
    node.version = String(Number(api.objects.get(policyPath)?.metadata.resourceVersion) + 1000);
    await until(() => condition('Programmed')['status'] === 'True');
    expect(condition('Programmed')).toMatchObject({ observedGeneration: 3 });
    expect(said()).toContainEqual(istiod);
  });

  it('of the other kinds say so too', async () => {
    const peers = '/apis/security.istio.io/v1/namespaces/shop/peerauthentications/strict';
    const access = '/apis/mesh-ebpf.io/v1alpha1/namespaces/shop/namespaceaccesses/locked';
    api.put(peers, { metadata: { generation: 4 }, spec: { mtls: { mode: 'STRICT' } } });
    api.put(access, { metadata: { generation: 1 }, spec: { egress: { default: 'Deny' } } });
    start('a');
    await until(() => [peers, access].every((path) => condition('Accepted', path)['status'] === 'True'));
    expect(condition('Accepted', peers)).toMatchObject({
      observedGeneration: 4,
      message: 'in force as written',
    });
  });

  it('whose status may not be written: nodes are told why, and everything else works', async () => {
    const sentence =
      'authorizationpolicies.security.istio.io "p" is forbidden: User "system:serviceaccount:mesh-ebpf-system:mesh-ebpf-controller" cannot patch resource "authorizationpolicies/status" in API group "security.istio.io" in the namespace "shop"';
    api.fail = (request) =>
      request.path.endsWith('/status')
        ? { status: 403, reason: 'Forbidden', message: sentence }
        : forbidden(request);
    applyPolicy(1, { rules: [{}] });
    const a = start('a');
    await a.address;
    await until(() => bundleIn('mesh-ebpf-system') !== '');
    await until(() =>
      a.lines.some(({ message }) => message.includes('may not patch authorizationpolicies/status')),
    );
    const conditions = await nodeOf([a], { version: '1' });
    await until(() => conditions().length > 0);
    expect(conditions()).toMatchObject([
      {
        subject: 'status of policies',
        error: {
          code: 'API_FORBIDDEN',
          message: expect.stringContaining('may not patch authorizationpolicies/status.security.istio.io'),
          hint: expect.stringContaining('verbs: ["patch"]'),
        },
      },
    ]);
    expect(await ask(a, 'web')).toHaveLength(3);
  });

  it('are nobody’s to report on but a node’s', async () => {
    applyPolicy(1, { rules: [{}] });
    const a = start('a');
    await a.address;
    await until(() => condition('Programmed')['status'] === 'Unknown');
    const address = await a.address;
    writeFileSync(join(directory, 'roots.pem'), bundleIn('mesh-ebpf-system'));
    api.review = () => ({ authenticated: false, error: 'unknown token' });
    await expect(reportOnce(directory, address, '99999')).rejects.toMatchObject({
      code: 'CA_REFUSED',
      details: { grpcStatus: 'UNAUTHENTICATED' },
    });
    expect(condition('Programmed')).toMatchObject({ status: 'Unknown' });
  });
});

describe('when something is away', () => {
  it('an API server: nobody new is authenticated, and the answer says to try again', async () => {
    const a = start('a');
    await a.address;
    await until(() => bundleIn('mesh-ebpf-system') !== '');
    api.fail = () => ({ status: 503, message: 'down' });
    await expect(ask(a, 'web')).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    api.fail = forbidden;
    expect(await ask(a, 'web')).toHaveLength(3);
  });

  it('the Secret: certificates are signed from memory, and a restart makes no new authority by itself', async () => {
    const a = start('a');
    await a.address;
    await until(() => bundleIn('mesh-ebpf-system') !== '');
    const saved = api.objects.get(secretPath);
    api.objects.delete(secretPath);
    await until(() => a.lines.some(({ message }) => message.includes('was deleted')));
    expect(await ask(a, 'web')).toHaveLength(3);
    await a.stop();
    const b = start('b');
    await until(() => b.lines.some(({ message }) => message.includes('still published')));
    expect(api.objects.has(secretPath)).toBe(false);
    if (saved !== undefined) api.objects.set(secretPath, saved);
    await b.address;
    expect(await ask(b, 'web')).toHaveLength(3);
  });
});
