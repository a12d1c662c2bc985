/** From what an administrator does until it has its effect on every node. */
import { setTimeout as delay } from 'node:timers/promises';
import { MeshError } from '../../../../src/base/errors.ts';
import { loadNative } from '../../../../src/native/load.ts';
import { median } from '../../../bench/stats.ts';
import { running } from '../../commands/context.ts';
import { findProcess, initRecord } from '../../machine/daemons.ts';
import { nodesOf } from '../../machine/state.ts';
import { context } from '../../support/cluster-under-test.ts';
import { type KernelMaps, openMaps } from '../../support/kernel-maps.ts';
import { Knocker } from '../knocker.ts';
import { type ClusterRow, meshAlone } from '../row.ts';
import { serverManifest } from '../../support/servers.ts';
import { minutes, type Stage } from '../stage.ts';

const repetitions = 10;

const middleAndMost = (id: string, what: string) => [
  { id: `${id}P50`, unit: `${what}: p50 ms`, digits: 0 },
  { id: `${id}Most`, unit: `${what}: most ms`, digits: 0 },
];

const spreadOf = (id: string, values: readonly number[]): Readonly<Record<string, number>> => ({
  [`${id}P50`]: median(values) ?? Number.NaN,
  [`${id}Most`]: Math.max(...values),
});

const denyAll = (namespace: string): string => `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: deny-all, namespace: ${namespace} }
spec: {}
`;

const policy: ClusterRow = {
  id: 'policy',
  title: 'deny-all policy: API server answered → first connection refused, lifted → first let in',
  metrics: [...middleAndMost('deny', 'denied'), ...middleAndMost('lift', 'lifted')],
  sides: meshAlone,
  async measure({ api }, { namespace, client, far }) {
    await using knocker = await Knocker.start('1', client.containerId, far);
    const deny: number[] = [];
    const lift: number[] = [];
    // The first of each does not count: the kind may be new to the mesh.
    for (let i = 0; i <= repetitions; i++) {
      await api.apply(denyAll(namespace));
      deny.push(await knocker.untilNext('refused'));
      await delay(200);
      await api.delete(denyAll(namespace));
      lift.push(await knocker.untilNext('let in'));
      await delay(200);
    }
    return { ...spreadOf('deny', deny.slice(1)), ...spreadOf('lift', lift.slice(1)) };
  },
};

const pods = 7;
const labelRepetitions = 5;
const lookEveryMs = 2;
const labelled = 'bench-label';

const label: ClusterRow = {
  id: 'label',
  title: `label of a namespace: API server answered → ${pods} running pods enrolled; removed → all out`,
  metrics: [...middleAndMost('in', 'enrolled'), ...middleAndMost('out', 'out')],
  sides: meshAlone,
  async measure(stage) {
    const { api } = stage;
    try {
      await api.apply(`{apiVersion: v1, kind: Namespace, metadata: {name: ${labelled}}}`);
      await api.apply(serverManifest(labelled, 'seven', { replicas: pods }));
      await api.whenPodsReady(labelled, 'app=seven', pods, 4 * minutes);
      await using maps = await mapsOfNodes();
      const before = maps.enrolledPods();
      const enrolled: number[] = [];
      const out: number[] = [];
      for (let i = 0; i < labelRepetitions; i++) {
        enrolled.push(await untilEnrolled(stage, maps, 'ambient', before + pods));
        await delay(1000);
        out.push(await untilEnrolled(stage, maps, null, before));
        await delay(1000);
      }
      return { ...spreadOf('in', enrolled), ...spreadOf('out', out) };
    } finally {
      await api.deleteNamespace(labelled, 4 * minutes);
    }
  },
};

/** Milliseconds from the API server's answer. */
async function untilEnrolled(
  stage: Stage,
  maps: Enrolled,
  mode: 'ambient' | null,
  count: number,
): Promise<number> {
  const body = [{ op: 'add', path: '/metadata/labels/istio.io~1dataplane-mode', value: mode ?? 'none' }];
  await stage.api.core.patchNamespace({ name: labelled, body });
  const answeredAt = performance.now();
  while (maps.enrolledPods() !== count) {
    if (performance.now() - answeredAt > minutes) {
      throw new MeshError('TIMEOUT', `${maps.enrolledPods()} pods are enrolled, not ${count}`);
    }
    await delay(lookEveryMs);
  }
  return performance.now() - answeredAt;
}

interface Enrolled extends AsyncDisposable {
  enrolledPods(): number;
}

/** On all nodes, as their kernels see it: asking the node programs would take a part of what is measured. */
async function mapsOfNodes(): Promise<Enrolled> {
  const { state } = await running(context);
  const native = loadNative();
  const maps: KernelMaps[] = [];
  for (const node of nodesOf(state)) {
    const init = await findProcess(context.layout, initRecord(node));
    if (init === undefined) throw new MeshError('NOT_FOUND', `${node.name} does not run`);
    maps.push(openMaps(native, init));
  }
  return {
    enrolledPods: () => maps.reduce((sum, each) => sum + each.enrolledPods(), 0),
    [Symbol.asyncDispose]: async () => maps.forEach((each) => each[Symbol.dispose]()),
  };
}

export const controlRows: readonly ClusterRow[] = [policy, label];
