/** `install` and `uninstall --cluster` against an API server on loopback that plays the controllers of Kubernetes. */
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { applyAll, createAbsent, endCleaning, nameOf, rolledOut } from '../../../src/apps/install/cluster.ts';
import { securityCrds } from '../../../src/apps/install/crds.ts';
import { kustomize } from '../../../src/apps/install/kustomize.ts';
import { manifestFiles } from '../../../src/apps/install/manifest-files.ts';
import { uninstallCluster } from '../../../src/apps/install/uninstall-cluster.ts';
import { FakeKubeApi, type SeenRequest } from '../../support/fake-kube-api.ts';

// Real HTTP, perhaps while every core is busy.
jest.setTimeout(60_000);

const manifests = kustomize(manifestFiles(), 'base');
const bundle = '/api/v1/namespaces/shop/configmaps/mesh-ebpf-ca-root-cert';
const daemonSetPath = '/apis/apps/v1/namespaces/mesh-ebpf-system/daemonsets/mesh-ebpf-node';

let api: FakeKubeApi;
let lines: string[];
beforeEach(async () => {
  api = await FakeKubeApi.start();
  lines = [];
});
afterEach(() => api.stop());

const writes = (): readonly SeenRequest[] => api.seen.filter(({ method }) => method !== 'GET');

/** All of it is where it should be. */
function rollOut(): void {
  for (const [path, object] of api.objects) {
    if (!/daemonsets|deployments/.test(path)) continue;
    const all = {
      observedGeneration: 1,
      desiredNumberScheduled: 2,
      updatedNumberScheduled: 2,
      numberAvailable: 2,
    };
    const status = { ...all, replicas: 2, updatedReplicas: 2, availableReplicas: 2 };
    api.objects.set(path, { ...object, status });
  }
}

async function installed(): Promise<void> {
  await applyAll(api.client(), manifests, () => undefined);
  api.put(bundle, { metadata: { labels: { 'app.kubernetes.io/managed-by': 'mesh-ebpf-controller' } } });
  api.seen.length = 0;
}

const uninstall = (options: object = {}, answer?: string) =>
  uninstallCluster(
    {
      client: api.client(),
      manifests,
      ask: async () => answer,
      done: (line) => lines.push(line),
      progress: (line) => lines.push(line),
      pollMs: 10,
    },
    { timeout: 20_000, ...options },
  );

describe('install', () => {
  it('applies every object in order, by server-side apply in its own name, and waits for the rollout', async () => {
    const applied: string[] = [];
    await applyAll(api.client(), manifests, (manifest) => applied.push(nameOf(manifest)));
    expect(applied).toEqual(manifests.map(nameOf));
    expect(applied[0]).toBe('namespace mesh-ebpf-system');
    for (const { method, query } of writes()) {
      expect([method, query.get('fieldManager')]).toEqual(['PATCH', 'mesh-ebpf-install']);
    }
    setTimeout(rollOut, 100);
    await rolledOut(api.client(), manifests, {
      timeoutMs: 20_000,
      pollMs: 10,
      progress: (line) => lines.push(line),
    });
    expect(lines.at(-1)).toMatch(/2 of 2 updated, 2 available/);
  });

  it('defines the kinds of policies where they are not defined, and leaves Istio’s own definitions alone', async () => {
    const path = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions/';
    const istios = { metadata: { labels: { chart: 'istio' } } };
    api.put(`${path}authorizationpolicies.security.istio.io`, istios);
    const created: string[] = [];
    await createAbsent(api.client(), securityCrds(), (manifest) => created.push(manifest.metadata.name));
    expect(created).toEqual(['peerauthentications.security.istio.io']);
    expect(api.objects.get(`${path}authorizationpolicies.security.istio.io`)).toMatchObject(istios);
    expect(api.objects.get(`${path}peerauthentications.security.istio.io`)).toMatchObject({
      spec: { names: { kind: 'PeerAuthentication' } },
    });
  });

  it('says at its first refusal what is missing, and applies nothing after it', async () => {
    const message =
      'User "me" cannot patch resource "clusterroles" in API group "rbac.authorization.k8s.io" at the cluster scope';
    api.fail = ({ path }) => (path.includes('/clusterroles/') ? { status: 403, message } : undefined);
    await expect(applyAll(api.client(), manifests, () => undefined)).rejects.toMatchObject({
      code: 'API_FORBIDDEN',
      hint: expect.stringContaining('resources: ["clusterroles"], verbs: ["patch"]'),
    });
    expect(api.objects.has(daemonSetPath)).toBe(false);
  });

  it('that does not get ready in time names a pod, why, and what to look at', async () => {
    await installed();
    api.put('/api/v1/namespaces/mesh-ebpf-system/pods/mesh-ebpf-node-x1', {
      metadata: { labels: { 'app.kubernetes.io/part-of': 'mesh-ebpf' } },
      spec: { nodeName: 'node-a' },
      status: { containerStatuses: [{ name: 'node', state: { waiting: { reason: 'ImagePullBackOff' } } }] },
    });
    const waiting = rolledOut(api.client(), manifests, {
      timeoutMs: 50,
      pollMs: 10,
      progress: () => undefined,
    });
    await expect(waiting).rejects.toMatchObject({
      code: 'TIMEOUT',
      message: expect.stringContaining('mesh-ebpf-node-x1 on node-a: ImagePullBackOff'),
      hint: expect.stringContaining('kubectl -n mesh-ebpf-system logs mesh-ebpf-node-x1'),
    });
  });
});

describe('uninstall from a cluster', () => {
  it('keeps the definition of NamespaceAccess while there are objects of it, and says so', async () => {
    await installed();
    const cleaned = setInterval(() => {
      if (JSON.stringify(api.objects.get(daemonSetPath) ?? {}).includes('"--verify"')) rollOut();
    }, 20);
    const definition =
      '/apis/apiextensions.k8s.io/v1/customresourcedefinitions/namespaceaccesses.mesh-ebpf.io';
    const locked = '/apis/mesh-ebpf.io/v1alpha1/namespaces/shop/namespaceaccesses/locked';
    api.put(locked, { metadata: {} });
    await uninstall({ yes: true });
    clearInterval(cleaned);
    expect([...api.objects.keys()].filter((path) => path === definition || path === locked)).toHaveLength(2);
    expect(lines.join('\n')).toContain('kept: NamespaceAccess objects of yours');
    api.objects.delete(locked);
    await uninstall({ yes: true });
    expect(api.objects.has(definition)).toBe(false);
  });

  it('takes the mesh off the nodes first, and deletes everything afterwards, backwards', async () => {
    await installed();
    const cleaned = setInterval(() => {
      if (JSON.stringify(api.objects.get(daemonSetPath) ?? {}).includes('"--verify"')) rollOut();
    }, 20);
    expect(await uninstall()).toBe(0);
    clearInterval(cleaned);
    const [first, ...rest] = writes().map(({ method, path }) => `${method} ${path}`);
    expect(first).toBe(`PUT ${daemonSetPath}`);
    expect(rest[0]).toBe(`DELETE ${daemonSetPath}`);
    expect(rest.slice(-2)).toEqual(['DELETE /api/v1/namespaces/mesh-ebpf-system', `DELETE ${bundle}`]);
    expect(rest).toHaveLength(manifests.length + 1);
    expect([...api.objects.keys()]).toEqual([]);
    expect(lines.at(-1)).toContain('labels istio.io/dataplane-mode of your namespaces');
  });

  it('takes its conditions off the policies that stay, and leaves those of others', async () => {
    await installed();
    api.objects.delete(daemonSetPath);
    const path = '/apis/security.istio.io/v1/namespaces/shop/authorizationpolicies/p';
    const istiod = { type: 'ZtunnelAccepted', status: 'True' };
    const ours = ['Accepted', 'Programmed'].map((word) => ({ type: `mesh-ebpf.io/${word}`, status: 'True' }));
    api.put(path, { spec: {}, status: { conditions: [ours[0], istiod, ours[1]] } });
    api.put(`${path}-other`, { spec: {}, status: { conditions: [istiod] } });
    expect(await uninstall({}, 'y')).toBe(0);
    expect(api.objects.get(path)?.['status']).toEqual({ conditions: [istiod] });
    expect(lines).toContain('removed  conditions of the mesh on the status of policies: 1');
    expect(writes().some((request) => request.path.includes('p-other'))).toBe(false);
  });

  it('deletes nothing while a node is not clean, unless it is told to', async () => {
    await installed();
    const before = api.objects.size;
    await expect(uninstall({ timeout: 50 })).rejects.toMatchObject({
      code: 'TIMEOUT',
      message: expect.stringContaining('nothing was deleted'),
    });
    expect(api.objects.size).toBe(before);
    expect(await uninstall({ timeout: 50, force: true })).toBe(0);
    expect([...api.objects.keys()]).toEqual([]);
    expect(lines.join('\n')).toContain('NOT removed  the mesh off every node');
  });

  it.each([
    ['asked for a dry run', { dryRun: true }, undefined, 0],
    ['the person says no', {}, 'n', 1],
  ])('changes nothing when %s', async (_what, options, answer, status) => {
    await installed();
    expect(await uninstall(options, answer)).toBe(status);
    expect(writes()).toEqual([]);
  });

  it('that was given up leaves nothing that a new installation would keep', async () => {
    await installed();
    await expect(uninstall({ timeout: 50 })).rejects.toMatchObject({ code: 'TIMEOUT' });
    await endCleaning(api.client(), manifests, { timeoutMs: 20_000, pollMs: 10, progress: () => undefined });
    await applyAll(api.client(), manifests, () => undefined);
    expect(JSON.stringify(api.objects.get(daemonSetPath))).not.toContain('uninstall');
  });

  it('finds nothing to do where nothing is installed', async () => {
    expect(await uninstall()).toBe(0);
    expect(writes()).toEqual([]);
    expect(manifests.length).toBeGreaterThan(10);
  });
});
