/** Everything that a pod can be works in a namespace of the mesh as it did before. Runs on any cluster. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { BatchV1Api } from '@kubernetes/client-node';
import { type ClusterApi, describePod, isReady } from '../support/api.ts';
import { clusterUnderTest } from '../support/cluster-under-test.ts';
import { eventsOf } from '../support/events.ts';
import { eventually } from '../support/eventually.ts';
import { askWho, echo, load } from '../support/fortio.ts';
import { timed } from '../support/measure.ts';
import { type Connection, installedMesh, labelNamespace, type Mesh } from '../support/mesh.ts';
import { podCounts } from '../support/metrics.ts';
import { type Pair, pairManifest, whenPairReady } from '../support/pair.ts';
import {
  initializingManifest,
  jobManifest,
  probedManifest,
  sidecarManifest,
  squatterManifest,
  statefulManifest,
  twoContainersManifest,
} from '../support/workloads.ts';

const namespace = 'mesh-test-workloads';
const broken = 'mesh-test-broken';
const minutes = 60_000;
let api: ClusterApi;
let mesh: Mesh;
let pair: Pair;

beforeAll(async () => {
  api = await clusterUnderTest();
  mesh = await installedMesh();
  await api.apply(pairManifest(namespace, { mode: 'ambient' }));
  pair = await whenPairReady(api, namespace);
  await whenAnswered(`http://cart.${namespace}/`);
}, 15 * minutes);

afterAll(async () => {
  await Promise.all([api.deleteNamespace(namespace), api.deleteNamespace(broken)]);
}, 4 * minutes);

describe('in a namespace of the mesh', () => {
  it(
    'probes by httpGet, tcpSocket, grpc and exec pass, and one at a closed port fails',
    async () => {
      await api.apply(probedManifest(namespace));
      await eventually(
        'all probed pods are ready but the one whose port is closed',
        async () =>
          (await api.pods(namespace, 'app=probed')).map((pod) => [
            kindOf(pod),
            isReady(pod),
            describePod(pod),
          ]),
        (pods) => pods.length === 5 && pods.every(([kind, ready]) => ready === (kind !== 'closed')),
        2 * minutes,
      );
      // The mesh's own listeners accept for the pod: were the kubelet captured, the closed port would seem open.
      const pods = await api.pods(namespace, 'app=probed');
      const closed = pods.find((pod) => kindOf(pod) === 'closed');
      expect(closed?.status?.phase).toBe('Running');
      expect(closed === undefined || isReady(closed)).toBe(false);
      expect(pods.map(({ status }) => status?.containerStatuses?.[0]?.restartCount)).toEqual(
        pods.map(() => 0),
      );
      const workloads = await mesh.workloads(namespace);
      const enrolled = workloads.filter(({ enrolment }) => enrolment === 'enrolled').map(({ name }) => name);
      expect(enrolled).toEqual(expect.arrayContaining(pods.map(({ metadata }) => metadata?.name)));
    },
    4 * minutes,
  );

  it(
    'a pod has its identity before its first init container connects, and both its containers are reached',
    async () => {
      await api.apply(twoContainersManifest(namespace, `http://cart.${namespace}/`));
      const [two] = await api.whenPodsReady(namespace, 'app=two', 1);
      const name = two?.metadata?.name ?? '';
      expect(await whenInMesh(name, pair.cart.name)).toMatchObject({ outcome: 'completed' });
      expect(two?.status?.initContainerStatuses?.[0]?.restartCount).toBe(0);
      for (const port of [8080, 9090]) {
        expect(await echo(api, pair.web, `http://${two?.status?.podIP}:${port}/`, 'hello')).toContain(
          'hello',
        );
        expect(await whenInMesh(pair.web.name, name, port)).toMatchObject({ outcome: 'completed' });
      }
    },
    4 * minutes,
  );

  it(
    'a native sidecar serves before the pod’s own containers start, and as long as they run',
    async () => {
      await api.apply(sidecarManifest(namespace, `http://cart.${namespace}/`));
      const [pod] = await api.whenPodsReady(namespace, 'app=assisted', 1);
      const name = pod?.metadata?.name ?? '';
      expect(await whenInMesh(name, pair.cart.name)).toMatchObject({ outcome: 'completed' });
      for (const port of [8080, 9090]) {
        expect(await echo(api, pair.web, `http://${pod?.status?.podIP}:${port}/`, 'hello')).toContain(
          'hello',
        );
        expect(await whenInMesh(pair.web.name, name, port)).toMatchObject({ outcome: 'completed' });
      }
      expect(pod?.status?.initContainerStatuses?.map(({ restartCount }) => restartCount)).toEqual([0, 0]);
    },
    4 * minutes,
  );

  it(
    'a pod of another node is reached through the mesh already while its init container serves',
    async () => {
      await api.apply(initializingManifest(namespace, pair.cart.node));
      const pod = await eventually(
        'the init container serves',
        () => api.core.readNamespacedPod({ namespace, name: 'initializing' }),
        ({ status }) => status?.initContainerStatuses?.[0]?.state?.running !== undefined,
        minutes,
      );
      expect(pod.status?.phase).toBe('Pending');
      await whenAnswered(`http://${pod.status?.podIP}:8080/`);
      expect(await whenInMesh(pair.web.name, 'initializing', 8080)).toMatchObject({ outcome: 'completed' });
    },
    3 * minutes,
  );

  it(
    'a Service has several ports, by number and by name',
    async () => {
      for (const [port, target] of [
        [80, 8080],
        [81, 9090],
      ] as const) {
        await whenAnswered(`http://two.${namespace}:${port}/`);
        const [two] = await api.pods(namespace, 'app=two');
        const record = await whenInMesh(pair.web.name, two?.metadata?.name ?? '', target);
        expect(record.service).toBe(`${namespace}/two`);
      }
    },
    3 * minutes,
  );

  it(
    'a Job does its work and ends',
    async () => {
      await api.apply(jobManifest(namespace, `http://cart.${namespace}/`));
      const jobs = api.kubeconfig.makeApiClient(BatchV1Api);
      await eventually(
        'the Job has succeeded',
        async () => (await jobs.readNamespacedJob({ namespace, name: 'work' })).status,
        (status) => status?.succeeded === 1,
        2 * minutes,
      );
      const [pod] = await api.pods(namespace, 'job-name=work');
      expect(await whenInMesh(pod?.metadata?.name ?? '', pair.cart.name)).toMatchObject({
        outcome: 'completed',
      });
    },
    3 * minutes,
  );

  it(
    'each pod of a StatefulSet is reached by its own name through a headless Service',
    async () => {
      await api.apply(statefulManifest(namespace));
      await api.whenPodsReady(namespace, 'app=db', 2);
      for (const name of ['db-0', 'db-1']) {
        const url = `http://${name}.db.${namespace}.svc.cluster.local:8080`;
        await whenAnswered(`${url}/`);
        expect(await askWho(api, pair.web, url)).toBe(name);
        expect((await load(api, pair.web, 10, `${url}/`)).results).toEqual({ 200: 10 });
        expect(await whenInMesh(pair.web.name, name)).toMatchObject({ outcome: 'completed' });
      }
    },
    4 * minutes,
  );
});

describe('a labelled pod that cannot be enrolled', () => {
  it(
    'is named by an Event, by status and by the metrics, with the reason and what to do, until it is gone',
    async () => {
      // It listens on the port that the mesh needs, and did before anybody wanted it in the mesh.
      await api.apply(squatterManifest(broken));
      const [pod] = await api.whenPodsReady(broken, 'app=squatter', 1);
      const name = `${broken}/${pod?.metadata?.name}`;
      const problems = async () => (await mesh.status()).flatMap((status) => status.problems);
      await labelNamespace(api, broken, 'ambient');
      const named = await timed('labelled until status names the pod that cannot be enrolled', () =>
        eventually(
          'status names it',
          problems,
          (all) => all.some(({ subject }) => subject.includes(name)),
          30_000,
        ),
      );
      const problem = named.find(({ subject }) => subject.includes(name));
      expect(problem?.message).toMatch(/15008|in use/);
      expect((await mesh.run('status')).code).toBe(1);

      const [event] = await timed('… until an Event names it', () =>
        eventually(
          'an Event names it',
          () => eventsOf(api, broken, pod?.metadata?.name ?? ''),
          (events) => events.length > 0,
          30_000,
        ),
      );
      expect(event).toMatchObject({ type: 'Warning', reason: 'EnrolmentFailed' });
      expect(event?.message).toContain(problem?.message);
      // What to do next, which status has as well.
      expect(event?.message).toContain(problem?.hint ?? 'mesh-ebpf doctor');
      const node = pod?.spec?.nodeName ?? '';
      const { expected = 0, enrolled = 0, verified = 0 } = await podCounts(api, node);
      expect({ missing: expected - enrolled, unproved: enrolled - verified }).toEqual({
        missing: 1,
        unproved: 0,
      });

      await api.deleteNamespace(broken);
      await eventually(
        'status is clean',
        problems,
        (all) => !all.some(({ subject }) => subject.includes(name)),
        minutes,
      );
      await eventually(
        'the metrics are, too',
        () => podCounts(api, node),
        ({ expected: all, verified: proved }) => all === proved,
        minutes,
      );
    },
    5 * minutes,
  );
});

const kindOf = ({
  metadata,
}: {
  readonly metadata?: { readonly labels?: Readonly<Record<string, string>> };
}) => metadata?.labels?.['probe'];

/**
 * From one pod of the namespace to another, with the caller's identity, proved by mutual TLS or (within a node) by the
 * kernel: on record at the caller's node. Another node proves the
 * identity of a pod that connects at once, but may not know yet which pod has that address.
 */
const whenInMesh = (from: string, to: string, port?: number): Promise<Connection> =>
  mesh.whenConnection(
    `${from} to ${to}`,
    namespace,
    ({ direction, path, source, destination, outcome }) =>
      direction === 'outbound' &&
      path !== 'direct' &&
      outcome !== null &&
      source.workload === `${namespace}/${from}` &&
      source.identity?.startsWith(`spiffe://cluster.local/ns/${namespace}/sa/`) === true &&
      destination.workload === `${namespace}/${to}` &&
      (port === undefined || destination.address.endsWith(`:${port}`)),
  );

/** A Service exists some moments before DNS and the nodes know of it. */
const whenAnswered = (url: string): Promise<string> =>
  eventually(
    `${url} answers`,
    () => echo(api, pair.web, url, 'hello'),
    (text) => text.includes('hello'),
    minutes,
  );
