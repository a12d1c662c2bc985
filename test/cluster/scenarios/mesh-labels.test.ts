/** Who is in the mesh is said by labels, of namespaces and of pods, at any time. Runs on any cluster. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type { ClusterApi } from '../support/api.ts';
import { clusterUnderTest } from '../support/cluster-under-test.ts';
import { eventually } from '../support/eventually.ts';
import { echo, startCalls } from '../support/fortio.ts';
import { type Connection, installedMesh, labelNamespace, labelPod, type Mesh } from '../support/mesh.ts';
import { type Pair, pairManifest, whenPairReady } from '../support/pair.ts';

const namespace = 'mesh-test-labels';
const minutes = 60_000;
const meshed = { path: 'tunnel', source: { identity: `spiffe://cluster.local/ns/${namespace}/sa/web` } };
const withoutIdentity = { path: 'direct', source: { identity: null } };
let api: ClusterApi;
let mesh: Mesh;
let pair: Pair;

const cart = `http://cart.${namespace}/`;
const call = (): Promise<string> => echo(api, pair.web, cart, 'hello');

beforeAll(async () => {
  api = await clusterUnderTest();
  mesh = await installedMesh();
  await api.apply(pairManifest(namespace));
  pair = await whenPairReady(api, namespace);
  await eventually('cart answers', call, (text) => text.includes('hello'), minutes);
}, 15 * minutes);

afterEach(async () => {
  await labelNamespace(api, namespace, undefined);
  await labelPod(api, pair.web, undefined);
  await labelPod(api, pair.cart, undefined);
  await mesh.whenEnrolled(namespace, 0);
}, 3 * minutes);

afterAll(() => api.deleteNamespace(namespace), 3 * minutes);

describe('the label istio.io/dataplane-mode', () => {
  it(
    'taken off a namespace, ends capture of its pods at once; connections that live go on',
    async () => {
      await labelNamespace(api, namespace, 'ambient');
      await mesh.whenEnrolled(namespace, 2);
      const calls = await startCalls(api, pair.web, cart);
      expect(await whenOpen()).toMatchObject(meshed);

      await labelNamespace(api, namespace, undefined);
      await mesh.whenEnrolled(namespace, 0);
      const leftAt = new Date().toISOString();
      await call();
      // A new connection is on nobody's record: nothing has captured it.
      expect((await mesh.connections(namespace)).filter(({ openedAt }) => openedAt > leftAt)).toEqual([]);

      // One connection carried them all: begun in the mesh, it went on through ztunnel.
      const { results, connections } = await calls.stop();
      expect(Object.keys(results)).toEqual(['200']);
      expect(connections).toBe(1);
    },
    5 * minutes,
  );

  it(
    'on a single pod, takes this one into the mesh; who is outside reaches it without an identity',
    async () => {
      await labelPod(api, pair.cart, 'ambient');
      await mesh.whenEnrolled(namespace, 1);
      expect(await callOnRecord()).toMatchObject(withoutIdentity);

      await labelPod(api, pair.web, 'ambient');
      await mesh.whenEnrolled(namespace, 2);
      expect(await callOnRecord()).toMatchObject(meshed);
    },
    4 * minutes,
  );

  it(
    'as "none" on a pod, keeps it out of the mesh of its namespace',
    async () => {
      await labelNamespace(api, namespace, 'ambient');
      await mesh.whenEnrolled(namespace, 2);
      expect(await callOnRecord()).toMatchObject(meshed);

      await labelPod(api, pair.web, 'none');
      await mesh.whenEnrolled(namespace, 1);
      expect(await callOnRecord()).toMatchObject(withoutIdentity);
      const workloads = await mesh.workloads(namespace);
      expect(workloads.find(({ name }) => name === pair.web.name)?.enrolment).toBe('not-meshed');
    },
    4 * minutes,
  );
});

/** The record of a connection made now. */
async function callOnRecord(): Promise<Connection> {
  const known = new Set((await mesh.connections(namespace)).map(keyOf));
  expect(await call()).toContain('hello');
  return mesh.whenRecorded(namespace, pair, (connection) => !known.has(keyOf(connection)));
}

const whenOpen = (): Promise<Connection> =>
  mesh.whenRecorded(namespace, pair, ({ outcome }) => outcome === null);

const keyOf = ({ node, id }: Connection): string => `${node} ${id}`;
