/** A node loses power and comes back, its kubelet before the mesh: no pod of a labelled namespace runs unmeshed meanwhile. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { V1Pod } from '@kubernetes/client-node';
import { reboot } from '../../commands/reboot.ts';
import { type ClusterApi, describePod, isReady } from '../../support/api.ts';
import { clusterUnderTest, context } from '../../support/cluster-under-test.ts';
import { eventually } from '../../support/eventually.ts';
import { echo } from '../../support/fortio.ts';
import { overhear } from '../../support/link.ts';
import { timed } from '../../support/measure.ts';
import { installedMesh, type Mesh } from '../../support/mesh.ts';
import { type Pair, pairManifest, whenPairReady } from '../../support/pair.ts';

const namespace = 'mesh-test-reboot';
const outside = 'mesh-test-reboot-outside';
const minutes = 60_000;
/** Sent from the first moment of each container, 5 times a second. */
const secret = `secret-${randomUUID()}`;
let api: ClusterApi;
let mesh: Mesh;
let pair: Pair;
let outsiders: Pair;

beforeAll(async () => {
  api = await clusterUnderTest();
  mesh = await installedMesh();
  await api.apply(pairManifest(namespace, { mode: 'ambient', says: secret }));
  await api.apply(pairManifest(outside));
  pair = await whenPairReady(api, namespace);
  outsiders = await whenPairReady(api, outside);
  await mesh.whenEnrolled(namespace, 2);
}, 15 * minutes);

afterAll(async () => {
  await Promise.all([api.deleteNamespace(namespace), api.deleteNamespace(outside)]);
}, 4 * minutes);

describe('a node that loses power', () => {
  it(
    'has no labelled pod that runs unmeshed when it comes back, and nothing of them crosses the link in plaintext',
    async () => {
      const open = `open-${randomUUID()}`;
      const heard = await overhear(async () => {
        const before = await containersOfWeb();
        const diedAt = new Date().toISOString();
        await timed('reboot until its labelled pod is ready, in the mesh', async () => {
          await reboot(context, pair.web.node);
          await whenReadyAgain(before);
          // Asked at once, not waited for: ready means captured.
          const workloads = await mesh.workloads(namespace);
          expect(workloads.find(({ name }) => name === pair.web.name)?.enrolment).toBe('enrolled');
        });
        expect(await mesh.whenRecorded(namespace, pair, ({ openedAt }) => openedAt > diedAt)).toMatchObject({
          path: 'tunnel',
          source: { identity: `spiffe://cluster.local/ns/${namespace}/sa/web` },
        });
        // Of pods that are in no mesh, the same capture hears everything.
        await eventually(
          'an unmeshed pod answers',
          () => echo(api, outsiders.web, `http://cart.${outside}/`, open),
          (text) => text.includes(open),
          2 * minutes,
        );
      });
      expect(heard.contains(open)).toBe(true);
      expect(heard.contains(secret)).toBe(false);
    },
    8 * minutes,
  );
});

/** The pod is the same; each of its containers is another one. */
async function whenReadyAgain(before: ReadonlySet<string>): Promise<void> {
  await eventually(
    `${pair.web.name} has new containers and is ready`,
    async () => {
      const pod = await readWeb();
      return { pod: describePod(pod), ready: isReady(pod), containers: containersOf(pod) };
    },
    ({ ready, containers }) => ready && containers.every((id) => !before.has(id)),
    5 * minutes,
  );
}

const readWeb = (): Promise<V1Pod> => api.core.readNamespacedPod(pair.web);
const containersOf = (pod: V1Pod): readonly string[] =>
  (pod.status?.containerStatuses ?? []).map(({ containerID = '' }) => containerID);
const containersOfWeb = async (): Promise<ReadonlySet<string>> => new Set(containersOf(await readWeb()));
