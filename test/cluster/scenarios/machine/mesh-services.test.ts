/** Whatever a Service asks of kube-proxy, pods of the mesh get it as well. On nodes of two zones. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { DiscoveryV1Api } from '@kubernetes/client-node';
import type { ClusterApi } from '../../support/api.ts';
import { Caller } from '../../support/calls.ts';
import { clusterUnderTest } from '../../support/cluster-under-test.ts';
import { eventually } from '../../support/eventually.ts';
import { installedMesh, type Mesh } from '../../support/mesh.ts';
import { killWorker } from '../../support/rollout.ts';
import { namespaceObject, serverPod, serviceObject, sliceObject } from '../../support/services.ts';
import { documents } from '../../support/workloads.ts';

const namespace = 'mesh-test-services';
const outside = 'mesh-test-services-out';
/** Starting the client included; a dial that nobody answers takes ten seconds. */
const atOnceMs = 8_000;
const minutes = 60_000;
let api: ClusterApi;
let mesh: Mesh;
let web: Caller;

const url = (service: string, where = namespace): string => `http://${service}.${where}/`;
const cart = { selector: { group: 'cart' } };

/** Two pods whose port of one name has two numbers, behind Services of all kinds; and pods for some of them. */
const objects = [
  namespaceObject(namespace, 'ambient'),
  namespaceObject(outside),
  serverPod({ namespace, name: 'web', node: 'node-1' }),
  serverPod({ namespace, name: 'near', node: 'node-1', labels: { group: 'cart' } }),
  serverPod({ namespace, name: 'far', node: 'node-2', labels: { group: 'cart' }, port: 9090 }),
  serverPod({ namespace: outside, name: 'out', node: 'node-2' }),
  serverPod({
    namespace,
    name: 'unready',
    node: 'node-2',
    container: { readinessProbe: { tcpSocket: { port: 9 } } },
  }),
  serverPod({
    namespace,
    name: 'leaving',
    node: 'node-2',
    labels: { group: 'leaving' },
    spec: { terminationGracePeriodSeconds: 300 },
    container: { lifecycle: { preStop: { sleep: { seconds: 240 } } } },
  }),
  serviceObject(namespace, 'cart', cart),
  serviceObject(namespace, 'sticky', {
    ...cart,
    sessionAffinity: 'ClientIP',
    sessionAffinityConfig: { clientIP: { timeoutSeconds: 600 } },
  }),
  serviceObject(namespace, 'local', { ...cart, internalTrafficPolicy: 'Local' }),
  serviceObject(namespace, 'local-elsewhere', { selector: { app: 'far' }, internalTrafficPolicy: 'Local' }),
  ...['PreferSameNode', 'PreferSameZone', 'PreferClose'].map((trafficDistribution) =>
    serviceObject(namespace, trafficDistribution.toLowerCase(), { ...cart, trafficDistribution }),
  ),
  serviceObject(namespace, 'leaving', { selector: { group: 'leaving' } }),
  serviceObject(namespace, 'unready', { selector: { app: 'unready' }, publishNotReadyAddresses: true }),
  serviceObject(namespace, 'unready-headless', {
    selector: { app: 'unready' },
    publishNotReadyAddresses: true,
    clusterIP: 'None',
  }),
  serviceObject(namespace, 'never-ready', { selector: { app: 'unready' } }),
  serviceObject(outside, 'out', { selector: { app: 'out' } }),
  ...[
    ['alias', `cart.${namespace}`],
    ['alias-outside', `out.${outside}`],
  ].map(([name = '', target]) => ({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace },
    spec: { type: 'ExternalName', externalName: `${target}.svc.cluster.local` },
  })),
  ...['by-hand', 'by-hand-outside', 'by-hand-mixed'].map((name) => serviceObject(namespace, name, {})),
];

beforeAll(async () => {
  api = await clusterUnderTest();
  mesh = await installedMesh();
  await api.apply(documents(...objects));
  await api.whenPodsReady(namespace, 'app in (web, near, far, leaving)', 4);
  await api.whenPodsReady(outside, 'app=out', 1);
  await mesh.whenEnrolled(namespace, 5);
  web = new Caller(api, mesh, { namespace, name: 'web' });
  const [far, out] = [await ipOf(namespace, 'far'), await ipOf(outside, 'out')];
  await api.apply(
    documents(
      sliceObject(namespace, 'by-hand', [far], 9090),
      sliceObject(namespace, 'by-hand-outside', [out], 8080),
      { ...sliceObject(namespace, 'by-hand-mixed', [far], 9090), metadata: handMade('mixed-far') },
      { ...sliceObject(namespace, 'by-hand-mixed', [out], 8080), metadata: handMade('mixed-out') },
    ),
  );
  await web.whenAnswered(url('cart'));
}, 15 * minutes);

afterAll(async () => {
  await api.core.deleteNamespacedPod({ namespace, name: 'leaving', gracePeriodSeconds: 0 }).catch(() => {});
  await Promise.all([api.deleteNamespace(namespace), api.deleteNamespace(outside)]);
}, 4 * minutes);

const handMade = (name: string) => ({
  name,
  namespace,
  labels: { 'kubernetes.io/service-name': 'by-hand-mixed' },
});

async function ipOf(where: string, name: string): Promise<string> {
  return (await api.core.readNamespacedPod({ namespace: where, name })).status?.podIP ?? '';
}

/** The one connection on record that a call makes. */
async function recordOf(target: string) {
  await web.whenAnswered(target);
  const since = new Date().toISOString();
  expect(await web.call(target, 'hello')).toContain('hello');
  const [record] = await web.whenRecorded(target, (all) => all.length > 0, since);
  return record;
}

describe('a pod of the mesh that calls a Service', () => {
  it('reaches all its pods, each at its own number of the named port', async () => {
    expect(await web.answeredBy(url('cart'))).toEqual(['far', 'near']);
    expect(await recordOf(url('by-hand'))).toMatchObject({
      path: 'tunnel',
      service: `${namespace}/by-hand`,
      destination: { address: `${await ipOf(namespace, 'far')}:9090`, workload: `${namespace}/far` },
    });
  }, 120_000);

  it('stays with one pod when the Service has session affinity, even when the node program is killed', async () => {
    const session = await web.answeredBy(url('sticky'));
    expect(session).toHaveLength(1);
    await killWorker('1');
    expect(await web.answeredBy(url('sticky'))).toEqual(session);
  }, 180_000);

  it('stays on its node when internalTrafficPolicy is Local; without a pod there it is refused at once', async () => {
    await web.whenAnswered(url('local'));
    expect(await web.answeredBy(url('local'))).toEqual(['near']);
    const since = new Date().toISOString();
    expect(await web.refusedAfterMs(url('local-elsewhere'))).toBeLessThan(atOnceMs);
    const [record] = await web.whenRecorded('the refusal', (all) => all.length > 0, since);
    expect(record?.error).toMatchObject({
      code: 'NO_HEALTHY_ENDPOINT',
      message: expect.stringContaining('node-1'),
    });
  }, 120_000);

  it.each(['PreferSameNode', 'PreferSameZone', 'PreferClose'])(
    'stays near with trafficDistribution: %s',
    async (distribution) => {
      const target = url(distribution.toLowerCase());
      await web.whenAnswered(target);
      await eventually(
        'only the pod of its node and zone answers',
        () => web.answeredBy(target),
        (names) => names.join() === 'near',
        minutes,
      );
    },
    180_000,
  );

  it('reaches pods that are not ready if the Service publishes them, and is refused if it does not', async () => {
    expect(await recordOf(url('unready'))).toMatchObject({
      path: 'tunnel',
      destination: { workload: `${namespace}/unready` },
    });
    expect(await recordOf('http://unready-headless:8080/')).toMatchObject({
      path: 'tunnel',
      destination: { workload: `${namespace}/unready` },
    });
    expect(await web.refusedAfterMs(url('never-ready'))).toBeLessThan(atOnceMs);
  }, 180_000);

  it('follows an ExternalName into the mesh, and out of it', async () => {
    // To either of its pods, of which one is on this node.
    const inMesh = expect.stringMatching(/^(?:tunnel|local|kernel)$/) as unknown;
    expect(await recordOf(url('alias'))).toMatchObject({ path: inMesh, service: `${namespace}/cart` });
    await expectUnmeshed(url('alias-outside'));
  }, 180_000);

  it('reaches endpoints written by hand: through a tunnel if they are in the mesh, else as without a mesh', async () => {
    await expectUnmeshed(url('by-hand-outside'));
    await web.whenAnswered(url('by-hand-mixed'));
    expect(await web.answeredBy(url('by-hand-mixed'))).toEqual(['far', `${outside}/out`]);
  }, 180_000);

  it('reaches a pod that leaves as long as it serves and no other is ready, and then no longer', async () => {
    await web.whenAnswered(url('leaving'));
    await api.core.deleteNamespacedPod({ namespace, name: 'leaving' });
    await whenTerminating('leaving');
    expect(await web.answeredBy(url('leaving'), 8)).toEqual(['leaving']);
    const next = serverPod({ namespace, name: 'next', node: 'node-1', labels: { group: 'leaving' } });
    await api.apply(documents(next));
    await eventually(
      'only the pod that is ready answers',
      () => web.answeredBy(url('leaving'), 8),
      (names) => names.join() === 'next',
      2 * minutes,
    );
  }, 300_000);

  it('goes on elsewhere when the pod near it ends', async () => {
    await api.core.deleteNamespacedPod({ namespace, name: 'near' });
    for (const service of ['prefersamenode', 'prefersamezone', 'sticky']) {
      await eventually(
        `${service} goes to the other node`,
        () => web.answeredBy(url(service), 8),
        (names) => names.join() === 'far',
        minutes,
      );
    }
    await eventually(
      'nobody serves it on this node',
      () => web.refusedAfterMs(url('local')),
      (ms) => ms < 4_000,
      minutes,
    );
  }, 300_000);
});

/** It answers, and the mesh does not know: what is not captured is on nobody's record. */
async function expectUnmeshed(target: string): Promise<void> {
  await web.whenAnswered(target);
  const since = new Date().toISOString();
  expect(await web.call(target, 'hello')).toContain('hello');
  // A later connection that is on record: an earlier one would be as well.
  await web.call(url('cart'), 'hello');
  const records = await web.whenRecorded('the later call', (all) => all.length > 0, since);
  expect(records.map(({ service }) => service)).toEqual([`${namespace}/cart`]);
}

async function whenTerminating(service: string): Promise<void> {
  const slices = api.kubeconfig.makeApiClient(DiscoveryV1Api);
  const labelSelector = `kubernetes.io/service-name=${service}`;
  await eventually(
    `the endpoint of ${service} is leaving and serves`,
    async () =>
      (await slices.listNamespacedEndpointSlice({ namespace, labelSelector })).items.flatMap(
        ({ endpoints }) => (endpoints ?? []).map(({ conditions }) => conditions),
      ),
    ([conditions]) =>
      conditions?.terminating === true && conditions.serving === true && conditions.ready === false,
    minutes,
  );
}
