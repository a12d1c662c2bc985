/**
 * The cluster itself: it starts, its nodes come back after a power failure, what it knows can be lost and restored,
 * and it leaves nothing behind. In this order, on one cluster.
 */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { V1Pod } from '@kubernetes/client-node';
import { running } from '../../commands/context.ts';
import { restoreEtcd, saveEtcd, start, stop } from '../../commands/control.ts';
import { down, leftovers } from '../../commands/down.ts';
import { reboot } from '../../commands/reboot.ts';
import { status } from '../../commands/status.ts';
import { runOnNode } from '../../machine/node.ts';
import { findNode } from '../../machine/state.ts';
import { type ClusterApi, isReady } from '../../support/api.ts';
import { context, endOwnCluster, freshCluster } from '../../support/cluster-under-test.ts';
import { eventually } from '../../support/eventually.ts';
import { askWho, echoManifest, load, ports } from '../../support/fortio.ts';
import { hostTraces } from '../../support/host-traces.ts';
import { timed } from '../../support/measure.ts';

const namespace = 'mesh-test-lifecycle';
const minutes = 60_000;
let api: ClusterApi;
let hostBefore: readonly string[];

const ref = (pod: V1Pod) => ({ namespace, name: pod.metadata?.name ?? '' });
const echoPods = (): Promise<readonly V1Pod[]> => api.whenPodsReady(namespace, 'app=echo', 2, 4 * minutes);

beforeAll(async () => {
  await endOwnCluster();
  hostBefore = hostTraces();
}, 2 * minutes);

afterAll(endOwnCluster, 2 * minutes);

describe('a cluster on this machine', () => {
  it(
    'comes up with two ready nodes, DNS, and every daemon running',
    async () => {
      api = await timed('cluster up', () => freshCluster());
      expect(await api.readyNodes()).toEqual(['node-1', 'node-2']);
      expect((await status(context))?.daemons.filter(({ pid }) => pid === undefined)).toEqual([]);
    },
    15 * minutes,
  );

  it(
    'a node that dies comes back, without /run and BPF pins, and its pods run again',
    async () => {
      await api.apply(echoManifest(namespace, 'echo'));
      const before = await echoPods();
      expect(await onNode1('touch /run/before-reboot && mkdir /sys/fs/bpf/before-reboot')).toBe(0);
      await timed('reboot until its pods are ready', async () => {
        await reboot(context, '1');
        await whenRestarted(before);
      });
      expect(await onNode1('test ! -e /run/before-reboot && test ! -e /sys/fs/bpf/before-reboot')).toBe(0);
      const [client] = await echoPods();
      if (client === undefined) throw new Error('no pod');
      await eventually(
        'the Service answers',
        () => askWho(api, ref(client), service),
        () => true,
        minutes,
      );
      expect((await load(api, ref(client), 20, `${service}/`)).results).toEqual({ 200: 20 });
    },
    6 * minutes,
  );

  it(
    'without its API server pods go on, and etcd can be taken back in time',
    async () => {
      const saved = join(mkdtempSync(join(tmpdir(), 'mesh-ebpf-etcd-')), 'saved');
      try {
        await saveEtcd(context, saved);
        await api.apply('{apiVersion: v1, kind: Namespace, metadata: {name: mesh-test-later}}');
        const [pod] = await echoPods();
        await stop(context, 'kube-apiserver', 'SIGKILL');
        expect(await api.isReady()).toBe(false);
        expect(await onNode1(`exec 3<>/dev/tcp/${pod?.status?.podIP}/${ports.http}`)).toBe(0);
        await start(context, 'kube-apiserver');
        expect(await namespaces()).toContain('mesh-test-later');
        await restoreEtcd(context, saved);
        expect(await namespaces()).not.toContain('mesh-test-later');
        expect(await namespaces()).toContain(namespace);
      } finally {
        rmSync(join(saved, '..'), { recursive: true, force: true });
      }
    },
    8 * minutes,
  );

  it(
    'leaves nothing behind',
    async () => {
      expect(hostTraces()).not.toEqual(hostBefore);
      const { processes, namespaces: removed } = await timed('cluster down', () => down(context));
      expect(processes).toBeGreaterThan(10);
      expect(removed).toBe(3);
      expect(await leftovers(context.layout)).toEqual([]);
      expect(hostTraces()).toEqual(hostBefore);
      expect(await status(context)).toBeUndefined();
    },
    2 * minutes,
  );
});

const service = `http://echo.${namespace}`;
const namespaces = async () => (await api.core.listNamespace()).items.map(({ metadata }) => metadata?.name);

async function onNode1(script: string): Promise<number> {
  const { machine, state } = await running(context);
  return (await runOnNode(machine, findNode(state, '1'), ['bash', '-c', script])).code;
}

/** The pod of node-1 is the same object with a new container; the other one has not been touched. */
async function whenRestarted(before: readonly V1Pod[]): Promise<void> {
  const [[uid, old] = []] = containers(before, 'node-1');
  const after = await eventually(
    'the pod of node-1 has a new container and is ready',
    () => api.pods(namespace, 'app=echo'),
    (pods) => {
      const [[sameUid, now] = []] = containers(pods, 'node-1');
      return sameUid === uid && now !== undefined && now !== old && pods.every(isReady);
    },
    4 * minutes,
  );
  expect(containers(after, 'node-2')).toEqual(containers(before, 'node-2'));
}

/** Of each pod of the node: who it is, and which container it has. */
const containers = (pods: readonly V1Pod[], node: string) =>
  pods
    .filter(({ spec }) => spec?.nodeName === node)
    .map(({ metadata, status: is }) => [metadata?.uid, is?.containerStatuses?.[0]?.containerID]);
