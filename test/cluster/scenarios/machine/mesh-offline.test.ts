/**
 * The API server is away: pods of the mesh go on talking, a node program that restarts serves from its snapshot and
 * says so, and a pod that appears meanwhile does not start outside the mesh.
 */
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { rmSync, writeFileSync } from 'node:fs';
import type { V1Pod } from '@kubernetes/client-node';
import { fortioImage } from '../../artifacts/build.ts';
import { running } from '../../commands/context.ts';
import { start, stop } from '../../commands/control.ts';
import { findNode } from '../../machine/state.ts';
import type { ClusterApi } from '../../support/api.ts';
import { clusterUnderTest, context } from '../../support/cluster-under-test.ts';
import { eventually } from '../../support/eventually.ts';
import { echoManifest, ports } from '../../support/fortio.ts';
import { installedMesh } from '../../support/mesh.ts';
import { measured, timed } from '../../support/measure.ts';
import { statusOnNode, talk } from '../../support/on-node.ts';
import { killWorker, onNode, setMeshed } from '../../support/rollout.ts';

const namespace = 'mesh-test-offline';
const snapshot = '/var/lib/mesh-ebpf/node/objects.snapshot';
const staticPod = 'static-node-1';
const minutes = 60_000;
let api: ClusterApi;
let client: V1Pod;
let server: V1Pod;
let manifestFile = '';

const staticManifest = `
apiVersion: v1
kind: Pod
metadata: { name: static, namespace: ${namespace} }
spec:
  terminationGracePeriodSeconds: 1
  containers:
    - name: fortio
      image: ${fortioImage}
      imagePullPolicy: IfNotPresent
      args: [server]
`;

beforeAll(async () => {
  api = await clusterUnderTest();
  await installedMesh();
  await api.apply(echoManifest(namespace, 'echo'));
  const pods = await api.whenPodsReady(namespace, 'app=echo', 2, 4 * minutes);
  const on = (node: string) => pods.find(({ spec }) => spec?.nodeName === node);
  const [first, second] = [on('node-1'), on('node-2')];
  if (first === undefined || second === undefined) throw new Error('these scenarios need two nodes');
  [client, server] = [first, second];
  await setMeshed(api, namespace, true);
  const { machine, state } = await running(context);
  manifestFile = machine.layout.node(findNode(state, '1')).disk('/etc/kubernetes/manifests', 'static.yaml');
}, 20 * minutes);

afterAll(async () => {
  rmSync(manifestFile, { force: true });
  await start(context, 'kube-apiserver').catch(() => undefined);
  await api.deleteNamespace(namespace);
}, 5 * minutes);

/** Twenty calls to the other node; how many were answered. */
const callServer = (): Promise<number> => talk(client, `http://${server.status?.podIP}:${ports.http}/`);

/** Containers of the static pod that run an application. */
const applications = async (): Promise<number> => {
  const filters = `'labels."io.kubernetes.pod.name"==${staticPod},labels."io.kubernetes.container.name"==fortio'`;
  const { stdout } = await onNode(
    '1',
    `ctr -a /run/containerd/containerd.sock -n k8s.io containers ls -q ${filters}`,
  );
  return stdout.split('\n').filter(Boolean).length;
};

const awayMs = 2 * minutes;

it(
  'two minutes without the API server: pods go on talking, and nothing starts outside the mesh',
  async () => {
    expect(await callServer()).toBe(20);
    await eventually(
      'the label is in the snapshot',
      async () => (await onNode('1', `grep -c '"name":"${namespace}".*ambient' ${snapshot}`)).code,
      (code) => code === 0,
      minutes,
    );
    await stop(context, 'kube-apiserver', 'SIGKILL');
    const awaySince = performance.now();
    expect(await callServer()).toBe(20);

    await timed('node program killed without an API server, until the next one serves', () =>
      killWorker('1'),
    );
    expect(await callServer()).toBe(20);
    const { source, pods } = await statusOnNode('1');
    expect(source).toMatchObject({ state: 'stale', name: expect.stringContaining('kubernetes https://') });
    expect(pods).toMatchObject({ expected: 1, enrolled: 1 });

    writeFileSync(manifestFile, staticManifest);
    await eventually(
      'the kubelet has made the static pod’s sandbox, or tried to',
      async () => (await onNode('1', `ls -d /var/log/pods/${namespace}_${staticPod}_*`)).code,
      (code) => code === 0,
      2 * minutes,
    );
    await eventually(
      'the API server has been away for two minutes',
      async () => performance.now() - awaySince,
      (ms) => ms >= awayMs,
      3 * minutes,
    );
    expect(await callServer()).toBe(20);
    expect(await applications()).toBe(0);
    measured('without an API server, seconds', ((performance.now() - awaySince) / 1000).toFixed(0));

    await start(context, 'kube-apiserver');
    await eventually(
      'the node program follows the API server again',
      async () => (await statusOnNode('1')).source.state,
      (state) => state === 'live',
      2 * minutes,
    );
    await eventually(
      'the static pod runs, in the mesh',
      async () => {
        const pod = (await api.pods(namespace)).find(({ metadata }) => metadata?.name === staticPod);
        return [pod?.status?.phase, pod?.metadata?.annotations?.['ambient.istio.io/redirection']];
      },
      ([phase, annotation]) => phase === 'Running' && annotation === 'enabled',
      3 * minutes,
    );
    expect(await applications()).toBe(1);
    expect(await callServer()).toBe(20);
  },
  12 * minutes,
);
