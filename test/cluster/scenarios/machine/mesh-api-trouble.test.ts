/**
 * The API server misbehaves as real ones do: connections break in mid-event, versions are forgotten again and again,
 * everything it knew is lost and brought back, and ten thousand pods come at once. Pods talk through all of it, the
 * mesh follows what is true, and nothing of a labelled pod crosses the link in plaintext.
 */
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Watch, type V1Pod } from '@kubernetes/client-node';
import { fortioImage } from '../../artifacts/build.ts';
import { restoreEtcd, saveEtcd, start, stop, wipeEtcd } from '../../commands/control.ts';
import type { ClusterApi } from '../../support/api.ts';
import { clusterUnderTest, context } from '../../support/cluster-under-test.ts';
import { crowdObjects } from '../../support/crowd.ts';
import { EtcdWriter } from '../../support/etcd-writer.ts';
import { eventually } from '../../support/eventually.ts';
import { echoManifest, ports, startCalls } from '../../support/fortio.ts';
import { installedMesh, labelPod } from '../../support/mesh.ts';
import { measured, timed } from '../../support/measure.ts';
import {
  cutFromApiServer,
  memoryOnNode,
  servicesOnNode,
  statusOnNode,
  talk,
  workloadsOnNode,
} from '../../support/on-node.ts';
import { load, loadDuring, PlaintextWatch, setMeshed, tell } from '../../support/rollout.ts';

const namespace = 'mesh-test-trouble';
const crowd = { namespace: 'mesh-test-crowd', pods: 10_000 };
const nodes = ['1', '2'] as const;
const minutes = 60_000;
let api: ClusterApi;
let client: V1Pod;
let server: V1Pod;

beforeAll(async () => {
  api = await clusterUnderTest();
  await installedMesh();
  await api.apply(echoManifest(namespace, 'echo'));
  await findPods();
  await setMeshed(api, namespace, true);
}, 20 * minutes);

afterAll(async () => {
  for (const name of ['kube-apiserver', 'kube-controller-manager']) {
    await start(context, name).catch(() => undefined);
  }
  await api.deleteNamespace(namespace);
  // One by one, as a namespace's end deletes them, they would take ten minutes.
  using etcd = new EtcdWriter(context.layout);
  await etcd.delete(crowdObjects(crowd));
  await api.deleteNamespace(crowd.namespace, 5 * minutes);
}, 8 * minutes);

async function findPods(): Promise<void> {
  const pods = await api.whenPodsReady(namespace, 'app=echo', 2, 4 * minutes);
  const on = (node: string) => pods.find(({ spec }) => spec?.nodeName === node);
  const [first, second] = [on('node-1'), on('node-2')];
  if (first === undefined || second === undefined) throw new Error('these scenarios need two nodes');
  [client, server] = [first, second];
}

const from = () => ({ namespace, name: client.metadata?.name ?? '' });
const direct = (): string => `http://${server.status?.podIP}:${ports.http}/`;

const newcomer = `
apiVersion: v1
kind: Pod
metadata: { name: newcomer, namespace: ${namespace}, labels: { app: newcomer } }
spec:
  terminationGracePeriodSeconds: 1
  containers:
    - { name: fortio, image: ${fortioImage}, imagePullPolicy: IfNotPresent, args: [server] }
`;

const service = (i: number): string => `
apiVersion: v1
kind: Service
metadata: { name: stream-${i}, namespace: ${namespace} }
spec: { ports: [{ port: 80 }] }
`;

/** Every node follows the API server, and knows exactly the Services that there are. */
async function whenAllFollow(): Promise<void> {
  const { items } = await api.core.listNamespacedService({ namespace });
  const truth = items.map(({ metadata }) => metadata?.name ?? '').toSorted();
  for (const node of nodes) {
    await eventually(
      `node ${node} follows the API server, and knows what is true`,
      async () => [(await statusOnNode(node)).source.state, await servicesOnNode(node, namespace)] as const,
      ([state, known]) => state === 'live' && known.join() === truth.join(),
      2 * minutes,
    );
  }
}

/** Of the labelled pods of the namespace that run here, all are in the mesh. */
async function whenAllMeshed(): Promise<void> {
  for (const node of nodes) {
    await eventually(
      `every labelled pod of node ${node} is in the mesh`,
      async () => {
        const own = (await workloadsOnNode(node, namespace)).filter((pod) => pod.node === `node-${node}`);
        return own.map(({ name, enrolment }) => [name, enrolment]);
      },
      (pods) => pods.length > 0 && pods.every(([, enrolment]) => enrolment === 'enrolled'),
      2 * minutes,
    );
  }
}

/** What crosses the link in plaintext while `work` is done: it has to be nothing. */
async function inCipherOnly(work: () => Promise<void>): Promise<void> {
  const watch = await PlaintextWatch.start();
  let packets: number;
  try {
    await work();
  } finally {
    packets = await watch.stop();
  }
  expect(packets).toBe(0);
}

it(
  'connections to the API server that break in mid-event lose nothing, and harm no connection',
  async () => {
    const calls = await startCalls(api, from(), direct());
    let cut = 0;
    for (let i = 0; i < 60; i++) {
      const applied = api.apply(service(i));
      if (i % 12 === 6) for (const node of nodes) cut += await cutFromApiServer(node);
      await applied;
      if (i % 3 === 2) await api.delete(service(i - 1));
    }
    await timed('from the last event until both nodes know everything', whenAllFollow);
    measured('connections to the API server cut in mid-event', cut);
    expect(cut).toBeGreaterThanOrEqual(4);
    const { results, connections } = await calls.stop();
    expect(Object.keys(results)).toEqual(['200']);
    expect(connections).toBe(1);
  },
  6 * minutes,
);

/** Whether the API server refuses to go on from a version: 410 Gone. */
async function isForgotten(resourceVersion: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const path = `/api/v1/namespaces/${namespace}/services`;
  const query = { resourceVersion, timeoutSeconds: 2 };
  const answered = (phase: string, object: { readonly code?: number }): void => {
    if (phase === 'ERROR' && object.code === 410) resolve(true);
  };
  await new Watch(api.kubeconfig).watch(path, query, answered, (error: unknown) =>
    resolve(/410|Gone/.test(String(error))),
  );
  return promise;
}

it(
  'versions that the API server forgets, again and again, are read anew',
  async () => {
    await inCipherOnly(async () => {
      for (let round = 0; round < 4; round++) {
        const { metadata } = await api.core.listNamespacedService({ namespace });
        // What every watch has seen is older than the next version, from which a new server's memory begins.
        await api.apply(service(100 + round));
        await api.delete(service(100 + round));
        await stop(context, 'kube-apiserver', 'SIGKILL');
        await start(context, 'kube-apiserver');
        expect(await isForgotten(metadata?.resourceVersion ?? '')).toBe(true);
        expect(await talk(client, direct())).toBe(20);
      }
      await api.apply(service(200));
      await labelPod(api, from(), 'none');
      await timed('from the last change until both nodes know it', async () => {
        await whenAllFollow();
        await eventually(
          'the pod with the label "none" is out',
          async () => (await statusOnNode('1')).pods.enrolled,
          (enrolled) => enrolled === 0,
          minutes,
        );
      });
      await labelPod(api, from(), undefined);
      await whenAllMeshed();
      expect(await talk(client, direct())).toBe(20);
    });
  },
  8 * minutes,
);

it(
  'what etcd lost and got back is in the mesh, and never unmeshed in between',
  async () => {
    const saved = join(mkdtempSync(join(tmpdir(), 'mesh-ebpf-etcd-')), 'saved');
    try {
      await inCipherOnly(async () => {
        await saveEtcd(context, saved);
        await wipeEtcd(context);
        const wiped = await api.core.listNamespace();
        expect(wiped.items.map(({ metadata }) => metadata?.name)).not.toContain(namespace);
        await restoreEtcd(context, saved);
        await timed('from the restored etcd until everything is in the mesh', async () => {
          await findPods();
          await whenAllFollow();
          await whenAllMeshed();
        });
        await eventually(
          'the pods talk',
          () => talk(client, direct()),
          (answered) => answered === 20,
          minutes,
        );
        // It follows: what happens now is seen.
        await api.apply(service(300));
        await whenAllFollow();
      });
    } finally {
      rmSync(join(saved, '..'), { recursive: true, force: true });
    }
  },
  10 * minutes,
);

async function whenCrowdKnown(count: number): Promise<void> {
  for (const node of nodes) {
    await eventually(
      `node ${node} knows the crowd`,
      async () => (await workloadsOnNode(node, crowd.namespace)).length,
      (known) => known === count,
      2 * minutes,
    );
  }
}

const calm = { perSecond: 50, seconds: 5, clients: 4, newConnections: true } as const;

it(
  'ten thousand pods that appear harm no connection, hold up no new pod, and fit into memory',
  async () => {
    // It would remove pods of nodes that do not exist.
    await stop(context, 'kube-controller-manager', 'SIGKILL');
    await api.apply(`
apiVersion: v1
kind: Namespace
metadata: { name: ${crowd.namespace}, labels: { istio.io/dataplane-mode: ambient } }`);
    using etcd = new EtcdWriter(context.layout);
    await load(from(), direct(), calm);
    const memory: number[] = [];
    await inCipherOnly(async () => {
      const during = await loadDuring(from(), direct(), calm, () =>
        timed(`${crowd.pods} pods made, until both nodes know them`, async () => {
          await etcd.put(crowdObjects(crowd));
          await whenCrowdKnown(crowd.pods);
          memory.push(...(await Promise.all(nodes.map(memoryOnNode))));
        }),
      );
      tell(`while ${crowd.pods} pods appeared`, during);
      expect(during.failed).toBe(0);
      await timed('a new pod, until it is in the mesh', async () => {
        await api.apply(newcomer);
        await api.whenPodsReady(namespace, 'app=newcomer', 1, 2 * minutes);
        await whenAllMeshed();
      });
      expect(await talk(client, direct())).toBe(20);
    });
    memory.push(...(await Promise.all(nodes.map(memoryOnNode))));
    measured('most memory of a node program, MB', Math.max(...memory).toFixed(0));
    expect(Math.max(...memory)).toBeLessThan(300);
    await timed('all of them gone, until both nodes know', async () => {
      await etcd.delete(crowdObjects(crowd));
      await whenCrowdKnown(0);
    });
    await start(context, 'kube-controller-manager');
  },
  12 * minutes,
);
