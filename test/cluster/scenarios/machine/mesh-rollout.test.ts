/**
 * What users notice of upgrades, crashes and their own rollouts, on the cluster of this machine: a client on one node,
 * servers on the other, 200 new connections a second.
 */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { V1Pod } from '@kubernetes/client-node';
import type { ClusterApi } from '../../support/api.ts';
import { clusterUnderTest } from '../../support/cluster-under-test.ts';
import { echoManifest, ports } from '../../support/fortio.ts';
import { installedMesh } from '../../support/mesh.ts';
import { measured, timed } from '../../support/measure.ts';
import {
  killWorker,
  kubectl,
  load,
  type Load,
  loadDuring,
  type LoadOptions,
  PlaintextWatch,
  restart,
  serviceUrl,
  setMeshed,
  tell,
  upgradeNodePrograms,
} from '../../support/rollout.ts';
import { serverManifest } from '../../support/servers.ts';

const namespace = 'mesh-test-rollout';
const minutes = 60_000;
const newConnections: LoadOptions = { perSecond: 200, seconds: 10, clients: 16, newConnections: true };
const kills = 10;
const replicas = 50;
let api: ClusterApi;
let client: V1Pod;
let server: V1Pod;

const from = () => ({ namespace, name: client.metadata?.name ?? '' });
const direct = () => `http://${server.status?.podIP}:${ports.http}/`;

beforeAll(async () => {
  api = await clusterUnderTest();
  await timed('installation from the image', installedMesh);
  await api.apply(echoManifest(namespace, 'echo'));
  const pods = await api.whenPodsReady(namespace, 'app=echo', 2, 4 * minutes);
  const on = (node: string) => pods.find(({ spec }) => spec?.nodeName === node);
  const [first, second] = [on('node-1'), on('node-2')];
  if (first === undefined || second === undefined) throw new Error('these scenarios need two nodes');
  [client, server] = [first, second];
}, 20 * minutes);

afterAll(() => api.deleteNamespace(namespace), 3 * minutes);

async function restartWeb(): Promise<Load> {
  const url = await serviceUrl(api, namespace, 'web');
  return loadDuring(from(), url, newConnections, () => restart(namespace, 'deployment/web'));
}

describe('outside the mesh', () => {
  it(
    'what crosses the link is plaintext, which the tests below look for',
    async () => {
      const watch = await PlaintextWatch.start();
      await load(from(), direct(), { ...newConnections, seconds: 1 });
      expect(await watch.stop()).toBeGreaterThan(100);
    },
    2 * minutes,
  );
});

describe('in the mesh', () => {
  beforeAll(() => setMeshed(api, namespace, true), 3 * minutes);

  it(
    'a rolling upgrade of the DaemonSet fails no request and refuses no new connection',
    async () => {
      const watch = await PlaintextWatch.start();
      const lasting = load(from(), direct(), {
        perSecond: 40,
        seconds: 50,
        clients: 8,
        newConnections: false,
      });
      const fresh = await loadDuring(from(), direct(), newConnections, () =>
        timed('upgrade of both nodes', upgradeNodePrograms),
      );
      tell('upgrade, a connection for each request', fresh);
      const kept = await lasting;
      tell('upgrade, connections that last longer than the 20 s of draining', kept);
      measured('upgrade, connections cut', `${kept.connections - 8} of 8, by two upgrades`);
      expect(fresh.failed).toBe(0);
      // Each of them at most once by each node's upgrade.
      expect(kept.connections - 8).toBeLessThanOrEqual(16);
      expect(kept.failed).toBeLessThanOrEqual(16);
      expect(await watch.stop()).toBe(0);
    },
    6 * minutes,
  );

  it(
    `kill -9 of the node program, ${kills} times, fails at most ten requests each`,
    async () => {
      const watch = await PlaintextWatch.start();
      const arrived = await loadDuring(from(), direct(), newConnections, async () => {
        for (let i = 0; i < kills; i++) await killWorker(i % 2 === 0 ? '1' : '2');
      });
      tell(`${kills} kills`, arrived);
      expect(arrived.failed).toBeLessThanOrEqual(10 * kills);
      expect(arrived.done).toBeGreaterThan(100 * kills);
      expect(await watch.stop()).toBe(0);
    },
    6 * minutes,
  );
});

describe.each([
  ['that take their time to end', 4],
  ['that end abruptly', 0],
])(`a rolling restart of ${replicas} pods %s`, (how, preStopSeconds) => {
  it(
    'fails no more requests in the mesh than outside of it',
    async () => {
      await setMeshed(api, namespace, false);
      await api.apply(serverManifest(namespace, 'web', { replicas, preStopSeconds }));
      await kubectl('-n', namespace, 'rollout', 'status', 'deployment/web', '--timeout=5m');
      const outside = await restartWeb();
      tell(`${replicas} pods ${how} restarted, outside the mesh`, outside);
      await setMeshed(api, namespace, true);
      const inside = await restartWeb();
      tell(`${replicas} pods ${how} restarted, in the mesh`, inside);
      expect(inside.failed).toBeLessThanOrEqual(outside.failed);
    },
    15 * minutes,
  );
});
