/** Pods of two nodes reach each other as in any cluster: what the mesh must not change. Runs on any cluster. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { V1Pod } from '@kubernetes/client-node';
import type { ClusterApi } from '../support/api.ts';
import { clusterUnderTest } from '../support/cluster-under-test.ts';
import { askWho, echoManifest, load, ports } from '../support/fortio.ts';
import { eventually } from '../support/eventually.ts';

const namespace = 'mesh-test-traffic';
const service = `http://echo.${namespace}`;
const inOrder = 20;
let api: ClusterApi;
let here: V1Pod;
let there: V1Pod;

const ref = (pod: V1Pod) => ({ namespace, name: pod.metadata?.name ?? '' });

beforeAll(async () => {
  api = await clusterUnderTest();
  await api.apply(echoManifest(namespace, 'echo'));
  const nodes = await api.readyNodes();
  const pods = await api.whenPodsReady(namespace, 'app=echo', nodes.length);
  const [first, second] = pods;
  if (first === undefined || second === undefined) throw new Error('these scenarios need two nodes');
  [here, there] = [first, second];
}, 15 * 60_000);

afterAll(() => api.deleteNamespace(namespace), 150_000);

describe('pods of two nodes', () => {
  it('reach each other by address', async () => {
    const url = `http://${there.status?.podIP}:${ports.http}`;
    expect(await askWho(api, ref(here), url)).toBe(ref(there).name);
    expect((await load(api, ref(here), inOrder, `${url}/`)).results).toEqual({ 200: inOrder });
  }, 60_000);

  it('reach a Service by name, and through it the pods of both nodes', async () => {
    await whenResolvable();
    for (const client of [here, there]) {
      expect((await load(api, ref(client), inOrder, `${service}/`)).results).toEqual({ 200: inOrder });
    }
    const answered = new Set<string>();
    await eventually(
      'both pods have answered',
      async () => answered.add(await askWho(api, ref(here), service)).size,
      (size) => size === 2,
      60_000,
    );
    expect([...answered].toSorted()).toEqual([ref(here).name, ref(there).name].toSorted());
  }, 150_000);

  it('speak gRPC and plain TCP through a Service', async () => {
    await whenResolvable();
    const host = `echo.${namespace}`;
    const grpc = await load(api, ref(here), inOrder, '-grpc', `${host}:${ports.grpc}`);
    expect(grpc.results).toEqual({ SERVING: inOrder });
    const tcp = await load(api, ref(here), inOrder, `tcp://${host}:${ports.tcp}`);
    expect(tcp.results).toEqual({ OK: inOrder });
  }, 90_000);
});

/** A Service exists some moments before DNS and kube-proxy know of it. */
const whenResolvable = (): Promise<string> =>
  eventually(
    'the Service answers',
    () => askWho(api, ref(here), service),
    () => true,
    30_000,
  );
