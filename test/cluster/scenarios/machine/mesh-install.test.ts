/**
 * The mesh comes into a cluster whose pods run already, and leaves it again: what changes on the link between the nodes,
 * and what is left on them. In this order, on a cluster that never had a mesh.
 */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { running } from '../../commands/context.ts';
import { runOnNode } from '../../machine/node.ts';
import { findNode } from '../../machine/state.ts';
import type { ClusterApi } from '../../support/api.ts';
import { context, freshCluster } from '../../support/cluster-under-test.ts';
import { eventually } from '../../support/eventually.ts';
import { echo } from '../../support/fortio.ts';
import { overhear } from '../../support/link.ts';
import { timed } from '../../support/measure.ts';
import { installedMesh, labelNamespace, type Mesh } from '../../support/mesh.ts';
import {
  difference,
  linksInKernel,
  nodeTraces,
  type NodeTraces,
  pinnedInKernel,
} from '../../support/node-traces.ts';
import { type Pair, pairManifest, whenPairReady } from '../../support/pair.ts';

const namespace = 'mesh-test-install';
const minutes = 60_000;
const nodes = ['node-1', 'node-2'] as const;
let api: ClusterApi;
let mesh: Mesh;
let pair: Pair;
let before: readonly NodeTraces[];

const tracesOfNodes = (): Promise<readonly NodeTraces[]> => Promise.all(nodes.map(nodeTraces));
const call = (text: string): Promise<string> => echo(api, pair.web, `http://cart.${namespace}/`, text);

beforeAll(async () => {
  api = await freshCluster();
  await api.apply(pairManifest(namespace));
  pair = await whenPairReady(api, namespace);
  await eventually(
    'cart answers',
    () => call('hello'),
    (text) => text.includes('hello'),
    minutes,
  );
  before = await tracesOfNodes();
}, 15 * minutes);

afterAll(() => api.deleteNamespace(namespace), 3 * minutes);

describe('a mesh that is installed into a running cluster', () => {
  it(
    'puts the pods of a namespace into mutual TLS when it is labelled, without a restart',
    async () => {
      expect(await kubeProxyUsesNftables(pair.web.node)).toBe(true);
      mesh = await timed('image loaded and mesh installed', installedMesh);

      const [open, closed] = [`open-${randomUUID()}`, `closed-${randomUUID()}`];
      const beforeLabel = await overhear(async () => expect(await call(open)).toContain(open));
      expect(beforeLabel.contains(open)).toBe(true);

      await timed('labelled until both pods are enrolled', async () => {
        await labelNamespace(api, namespace, 'ambient');
        await mesh.whenEnrolled(namespace, 2);
      });
      const afterLabel = await overhear(async () => expect(await call(closed)).toContain(closed));
      expect(afterLabel.bytes).toBeGreaterThan(1_000);
      expect(afterLabel.contains(closed)).toBe(false);

      expect(await mesh.whenRecorded(namespace, pair, ({ outcome }) => outcome !== null)).toMatchObject({
        node: pair.cart.node,
        path: 'tunnel',
        source: { identity: `spiffe://cluster.local/ns/${namespace}/sa/web` },
        destination: { identity: `spiffe://cluster.local/ns/${namespace}/sa/cart` },
        verdict: { allowed: true },
        outcome: 'completed',
      });
      const after = await whenPairReady(api, namespace);
      expect(after).toEqual(pair);
    },
    8 * minutes,
  );

  it(
    'answers the questions of an administrator from outside the cluster',
    async () => {
      const status = await mesh.status();
      expect(status.map(({ node, health, problems }) => ({ node, health, problems }))).toEqual(
        nodes.map((node) => ({ node, health: 'ok', problems: [] })),
      );
      expect(status.map(({ pods }) => pods)).toEqual(
        nodes.map(() => ({ expected: 1, enrolled: 1, verified: 1 })),
      );
      const certificates = await mesh.certificates();
      expect(certificates.map(({ identity, state }) => `${identity} ${state}`).toSorted()).toEqual([
        `spiffe://cluster.local/ns/${namespace}/sa/cart valid`,
        `spiffe://cluster.local/ns/${namespace}/sa/web valid`,
      ]);
    },
    minutes,
  );

  it(
    'leaves the nodes as they were when it is uninstalled, and pods go on without it',
    async () => {
      const installed = await tracesOfNodes();
      const links = await Promise.all(nodes.map(pinnedInKernel));
      for (const [i, node] of nodes.entries()) {
        // Otherwise the comparison below would find nothing because it does not look at anything.
        const changed = difference(before[i] ?? [], installed[i] ?? [], Infinity).join('\n');
        expect(changed).toMatch(/new: pins: .*links\/mesh_connect4/);
        expect(changed).toMatch(/new: cni: .*mesh-ebpf-cni/);
        expect(changed).toMatch(/new: cni: .*conflist/);
        expect(changed).toMatch(/new: run: .*admin.sock/);
        expect(changed).toMatch(/new: state: .*objects.snapshot/);
        expect(changed).toMatch(/new: pods: .*:15008/);
        expect(changed).toMatch(/new: pods: .*lookup/);
        expect(await linksInKernel(node)).toEqual(expect.arrayContaining([...(links[i] ?? [])]));
      }

      await timed('mesh uninstalled', () => mesh.runOk('uninstall', '--cluster', '--yes'));
      for (const [i, node] of nodes.entries()) {
        // Pods of the mesh end, and kube-proxy forgets their Services, some seconds later.
        await eventually(
          `${node} is as it was`,
          async () => difference([...(before[i] ?? []), ...emptyDirectories], await nodeTraces(node)),
          (lines) => lines.length === 0,
          2 * minutes,
        );
        const left = await linksInKernel(node);
        expect((links[i] ?? []).filter((link) => left.includes(link))).toEqual([]);
      }
      const open = `open-${randomUUID()}`;
      const heard = await overhear(async () => expect(await call(open)).toContain(open));
      expect(heard.contains(open)).toBe(true);
    },
    6 * minutes,
  );
});

/** Kubernetes makes it for the mesh's pods to mount, and nothing in a pod can remove its own mount. */
const emptyDirectories = ['run: d /run/mesh-ebpf'];

async function kubeProxyUsesNftables(node: string): Promise<boolean> {
  const { machine, state } = await running(context);
  const argv = ['nft', 'list', 'table', 'ip', 'kube-proxy'] as const;
  return (await runOnNode(machine, findNode(state, node), argv)).code === 0;
}
