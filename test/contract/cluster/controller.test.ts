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
import { FakeKubeApi, type SeenRequest } from '../../support/fake-kube-api.ts';
import { allows, attributesOf, grantedTo, rightOf } from '../../support/rbac.ts';
import { projectedToken, reviewOf } from '../../support/service-account-token.ts';
import { idOf, sign } from '../ca/rig.ts';

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
  const isCreation = wanted.verb === 'patch' && !api.objects.has(request.path);
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
  // Only an API server older than 1.30 makes the controller read a pod.
  expect(unused).toEqual([expect.stringMatching(/^get pods /)]);
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
