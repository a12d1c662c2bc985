/**
 * What people break: a permission is taken away, the node's network configuration is damaged. Each is named where
 * people look, holds up nothing else, and mends itself when it is put right.
 */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { setTimeout as delay } from 'node:timers/promises';
import { controllerName, meshNamespace } from '../../../../src/controller/kubernetes/names.ts';
import { acceptedMs } from '../../../../src/controller/kubernetes/token-reviewer.ts';
import type { Problem } from '../../../../src/telemetry/admin-api.ts';
import { fortioImage } from '../../artifacts/build.ts';
import type { ClusterApi } from '../../support/api.ts';
import { Authority, identityOf, tokenFor } from '../../support/authority.ts';
import { clusterUnderTest } from '../../support/cluster-under-test.ts';
import { eventsOf } from '../../support/events.ts';
import { eventually } from '../../support/eventually.ts';
import { echo } from '../../support/fortio.ts';
import { timed } from '../../support/measure.ts';
import { installedMesh, labelNamespace, type Mesh } from '../../support/mesh.ts';
import { agentOn, podCounts, samplesOf } from '../../support/metrics.ts';
import { type Pair, pairManifest, whenPairReady } from '../../support/pair.ts';
import { withoutPermission } from '../../support/permissions.ts';
import { killWorker, onNode } from '../../support/rollout.ts';
import { squatterManifest } from '../../support/workloads.ts';

const namespace = 'mesh-test-wrong';
const broken = 'mesh-test-wrong-broken';
const minutes = 60_000;
let api: ClusterApi;
let mesh: Mesh;
let pair: Pair;

beforeAll(async () => {
  api = await clusterUnderTest();
  mesh = await installedMesh();
  await api.apply(pairManifest(namespace, { mode: 'ambient' }));
  pair = await whenPairReady(api, namespace);
  await whenAnswered();
}, 15 * minutes);

afterAll(async () => {
  await Promise.all([api.deleteNamespace(namespace), api.deleteNamespace(broken)]);
}, 4 * minutes);

describe('a permission that the node program lacks', () => {
  const account = `system:serviceaccount:${meshNamespace}:mesh-ebpf-node`;

  it(
    'is named by status, log and metrics with verb, resource and account; all else goes on; given back, it is used',
    async () => {
      const node = pair.web.node;
      const permission = {
        clusterRole: 'mesh-ebpf-node',
        verb: 'watch',
        apiGroup: '',
        resource: 'services',
      };
      const sentence = 'service account mesh-ebpf-system/mesh-ebpf-node may not watch services';
      await withoutPermission(api, permission, async () => {
        // A watch that stands is not asked again for minutes.
        await killWorker(node);
        const problem = await whenProblem(node, ({ message }) => message === sentence);
        expect(problem).toMatchObject({
          code: 'API_FORBIDDEN',
          subject: 'source services',
          hint: expect.stringContaining('apiGroups: [""], resources: ["services"], verbs: ["watch"]'),
        });
        const agent = await agentOn(api, node);
        expect(await forbiddenOf(agent)).toContainEqual({ verb: 'watch', resource: 'services', account });
        expect(await logOf(agent)).toContain(sentence);

        await api.apply(latecomer('latecomer', node));
        await whenEnrolled('latecomer');
        await whenAnswered();
      });
      await timed('permission given back until status is clean', () => whenNoProblem(node));
    },
    6 * minutes,
  );

  it(
    'to write Events holds up no annotation, and the Event comes when it is given back',
    async () => {
      const permission = {
        clusterRole: 'mesh-ebpf-node',
        verb: 'create',
        apiGroup: 'events.k8s.io',
        resource: 'events',
      };
      await api.apply(squatterManifest(broken));
      const [squatter] = await api.whenPodsReady(broken, 'app=squatter', 1);
      const name = squatter?.metadata?.name ?? '';
      const node = squatter?.spec?.nodeName ?? '';
      await withoutPermission(api, permission, async () => {
        await labelNamespace(api, broken, 'ambient');
        const problem = await whenProblem(node, ({ subject }) => subject === 'annotations and Events');
        expect(problem.message).toMatch(/mesh-ebpf-node may not create events\.events\.k8s\.io/);
        expect(await forbiddenOf(await agentOn(api, node))).toContainEqual({
          verb: 'create',
          resource: 'events.events.k8s.io',
          account,
        });
        await api.apply(latecomer('annotated', node));
        await whenEnrolled('annotated');
        expect(await eventsOf(api, broken, name)).toEqual([]);
      });
      await timed('permission given back until the Event is there', () =>
        eventually(
          'an Event names the pod',
          () => eventsOf(api, broken, name),
          (events) => events.some(({ reason }) => reason === 'EnrolmentFailed'),
          90_000,
        ),
      );
      await api.deleteNamespace(broken);
      await whenNoProblem(node);
    },
    6 * minutes,
  );
});

describe('a permission that the controller lacks', () => {
  it(
    'is named in the status of nodes that need a certificate, in its log and its metrics; certificates in use stay',
    async () => {
      const permission = {
        clusterRole: controllerName,
        verb: 'create',
        apiGroup: 'authentication.k8s.io',
        resource: 'tokenreviews',
      };
      const sentence =
        'service account mesh-ebpf-system/mesh-ebpf-controller may not create tokenreviews.authentication.k8s.io';
      const node = pair.web.node;
      const authority = await Authority.open(api);
      try {
        await withoutPermission(api, permission, async () => {
          // A token that nobody has reviewed yet; the node's own may count for a minute more.
          const pod = await api.core.readNamespacedPod({
            namespace: meshNamespace,
            name: await agentOn(api, node),
          });
          await eventually(
            'the authority says what it lacks',
            async () =>
              authority.sign(await tokenFor(api, { pod }), identityOf(namespace, 'web')).catch(String),
            (said) => String(said).includes(sentence),
            minutes,
          );
          // The node's own token was accepted before, and counts for as long as a review is remembered.
          await delay(acceptedMs);
          await api.apply(latecomer('uncertified', node, { serviceAccount: true }));
          const problem = await whenProblem(
            node,
            ({ subject }) => subject.endsWith(`/sa/uncertified`),
            3 * minutes,
          );
          expect(problem.message).toContain(sentence);
          await whenAnswered();
          const controllers = await api.pods(meshNamespace, `app.kubernetes.io/name=${controllerName}`);
          const names = controllers.map(({ metadata }) => metadata?.name ?? '');
          expect((await Promise.all(names.map(logOf))).join('\n')).toContain(sentence);
          expect((await Promise.all(names.map(forbiddenOf))).flat()).toContainEqual({
            verb: 'create',
            resource: 'tokenreviews.authentication.k8s.io',
            account: `system:serviceaccount:${meshNamespace}:${controllerName}`,
          });
        });
        await timed('permission given back until the node has its certificate', () =>
          whenNoProblem(node, 3 * minutes),
        );
      } finally {
        await authority.close();
      }
    },
    9 * minutes,
  );
});

describe('a network configuration that is not JSON', () => {
  const file = '/etc/cni/net.d/10-mesh-cluster.conflist';

  it(
    'is left alone and named by status; mended, it has the plugin again',
    async () => {
      const node = pair.web.node;
      const good = (await onNode(node, `cat ${file}`)).stdout;
      expect(good).toContain('mesh-ebpf-cni');
      try {
        await onNode(node, `echo '{ "name": "half of it",' > ${file}`);
        const problem = await whenProblem(node, ({ subject }) => subject === 'CNI plugin');
        expect(problem.message).toMatch(
          /CNI configuration 10-mesh-cluster\.conflist: it is not JSON.*left as it is/,
        );
        expect(problem.hint).toContain('pods of this node start without waiting for the mesh');
        expect((await onNode(node, `cat ${file}`)).stdout).toBe('{ "name": "half of it",\n');
        await whenAnswered();
      } finally {
        // As the cluster's network plugin writes it: without ours.
        const { plugins, ...rest } = JSON.parse(good) as {
          readonly plugins: readonly { readonly type: string }[];
        };
        const mended = { ...rest, plugins: plugins.filter(({ type }) => type !== 'mesh-ebpf-cni') };
        await onNode(node, `cat > ${file} <<'END'\n${JSON.stringify(mended)}\nEND`);
      }
      await eventually(
        'the plugin is in its place again',
        async () => (await onNode(node, `cat ${file}`)).stdout,
        (text) => text.includes('mesh-ebpf-cni'),
        30_000,
      );
      await whenNoProblem(node);
      await eventually(
        'the node is ready',
        () => api.readyNodes(),
        (nodes) => nodes.includes(node),
        2 * minutes,
      );
      await api.apply(latecomer('after-mending', node));
      await whenEnrolled('after-mending');
    },
    6 * minutes,
  );
});

describe('a pod that is not captured any more, and that nothing the mesh does can help', () => {
  it(
    'is named by status, Event and metrics, and is proved again when it is put right',
    async () => {
      const { web } = pair;
      const { status } = await api.core.readNamespacedPod(web);
      // What it dials comes back to it over lo.
      const setLo = async (state: 'up' | 'down'): Promise<void> => {
        const { code, stderr } = await onNode(
          web.node,
          `for ns in /run/netns/*; do
             nsenter --net=$ns ip -o addr | grep -qF ' ${status?.podIP}/' && exec nsenter --net=$ns ip link set lo ${state}
           done; exit 1`,
        );
        if (code !== 0) throw new Error(`no namespace with ${status?.podIP} on ${web.node}: ${stderr}`);
      };
      await setLo('down');
      try {
        const problem = await timed('capture broken until status names the pod', () =>
          whenProblem(web.node, ({ subject }) => subject === `pod ${namespace}/${web.name}`),
        );
        expect(problem).toMatchObject({
          code: 'NETNS',
          message: expect.stringMatching(/is enrolled, but what it dials is not captured/),
          hint: expect.stringContaining('mesh-ebpf doctor'),
        });
        const events = await timed('… until an Event names it', () =>
          eventually(
            'an Event names it',
            () => eventsOf(api, namespace, web.name),
            (seen) => seen.some(({ reason }) => reason === 'CaptureBroken'),
            30_000,
          ),
        );
        expect(events.find(({ reason }) => reason === 'CaptureBroken')?.message).toContain(
          'mesh-ebpf doctor',
        );
        const { enrolled = 0, verified = 0 } = await podCounts(api, web.node);
        expect(enrolled - verified).toBe(1);
      } finally {
        await setLo('up');
      }
      await whenNoProblem(web.node);
      const { expected = 0, verified = 0 } = await podCounts(api, web.node);
      expect(verified).toBe(expected);
      await whenAnswered();
    },
    4 * minutes,
  );
});

const problemsOf = async (node: string): Promise<readonly Problem[]> =>
  (await mesh.status()).filter((status) => status.node === node).flatMap(({ problems }) => problems);

async function whenProblem(
  node: string,
  isMeant: (problem: Problem) => boolean,
  timeoutMs = minutes,
): Promise<Problem> {
  const seen = await eventually(
    `status names the problem of ${node}`,
    () => problemsOf(node),
    (problems) => problems.some(isMeant),
    timeoutMs,
  );
  return seen.find(isMeant) as Problem;
}

const whenNoProblem = (node: string, timeoutMs = 2 * minutes): Promise<readonly Problem[]> =>
  eventually(
    `status has nothing to say against ${node}`,
    () => problemsOf(node),
    (problems) => problems.length === 0,
    timeoutMs,
  );

const forbiddenOf = async (pod: string): Promise<readonly object[]> =>
  (await samplesOf(api, pod, 'mesh_api_forbidden_total')).map(({ labels }) => labels);

const logOf = (name: string): Promise<string> =>
  api.core.readNamespacedPodLog({ namespace: meshNamespace, name, tailLines: 5_000 });

/** A pod on this node, with a service account of its own if wanted. */
const latecomer = (name: string, node: string, { serviceAccount = false } = {}): string =>
  [
    ...(serviceAccount ? [{ apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name, namespace } }] : []),
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, namespace },
      spec: {
        nodeName: node,
        terminationGracePeriodSeconds: 1,
        ...(serviceAccount ? { serviceAccountName: name } : {}),
        containers: [
          { name: 'server', image: fortioImage, imagePullPolicy: 'IfNotPresent', args: ['server'] },
        ],
      },
    },
  ]
    .map((object) => JSON.stringify(object))
    .join('\n---\n');

/** As everybody sees it who looks at the pod. */
const whenEnrolled = (name: string): Promise<unknown> =>
  eventually(
    `${name} runs, in the mesh`,
    async () => {
      const { status, metadata } = await api.core.readNamespacedPod({ namespace, name });
      return [status?.phase, metadata?.annotations?.['ambient.istio.io/redirection']];
    },
    ([phase, annotation]) => phase === 'Running' && annotation === 'enabled',
    minutes,
  );

/** Through mutual TLS, by the Service's name. */
const whenAnswered = (): Promise<string> =>
  eventually(
    'web reaches cart',
    () => echo(api, pair.web, `http://cart.${namespace}/`, 'hello'),
    (text) => text.includes('hello'),
    minutes,
  );
