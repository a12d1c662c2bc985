/** The nodes themselves: what the mesh holds there, and whether pods are in it again after a reboot. */
import { MeshError } from '../../../../src/base/errors.ts';
import { reboot } from '../../commands/reboot.ts';
import { isReady } from '../../support/api.ts';
import { context } from '../../support/cluster-under-test.ts';
import { eventually } from '../../support/eventually.ts';
import { onNode } from '../../support/rollout.ts';
import { type ClusterRow, count, meshAlone } from '../row.ts';
import { minutes, type Place, type Stage } from '../stage.ts';

const memory: ClusterRow = {
  id: 'memory',
  title: 'resident memory after all of the above',
  metrics: [
    { id: 'node', unit: 'node program and keeper, MB a node', digits: 0 },
    { id: 'controller', unit: 'controller, MB', digits: 0 },
  ],
  sides: meshAlone,
  async measure() {
    const found = await Promise.all(['1', '2'].map(residentOn));
    return {
      node: Math.max(...found.map(({ node }) => node)),
      controller: Math.max(...found.map(({ controller }) => controller)),
    };
  },
};

/** Megabytes: of everything the node's container runs, and of the largest controller. */
async function residentOn(node: string): Promise<{ readonly node: number; readonly controller: number }> {
  const { stdout } = await onNode(node, 'ps -eo rss=,args=');
  const processes = stdout
    .split('\n')
    .map((line) => /^\s*(\d+) (.*)$/.exec(line))
    .map((found) => ({ megabytes: Number(found?.[1] ?? 0) / 1024, command: found?.[2] ?? '' }));
  const of = (is: RegExp): readonly number[] =>
    processes.filter(({ command }) => is.test(command)).map(({ megabytes }) => megabytes);
  const resident = of(/mesh-ebpf(-keeper|\.mjs)?\b.* node\b/).reduce((total, each) => total + each, 0);
  const used = { node: resident, controller: Math.max(0, ...of(/mesh-ebpf.* controller\b/)) };
  if (used.node > 0) return used;
  throw new MeshError('NOT_FOUND', `no node program is among the processes of node ${node}`);
}

const rebootRow: ClusterRow = {
  id: 'reboot',
  title: 'reboot of a node',
  metrics: [
    count('enrolled', 'pods enrolled again'),
    count('of', 'of labelled pods'),
    count('unmeshed', 'ready before they were enrolled'),
    { id: 'seconds', unit: 's until all are ready', digits: 1 },
  ],
  sides: meshAlone,
  async measure(stage, place) {
    const before = await farPods(stage, place);
    const old = new Set(before.flatMap(({ containers }) => containers));
    const begun = performance.now();
    await reboot(context, '2');
    const unmeshed = new Set<string>();
    await eventually(
      'all pods of the node are ready again',
      async () => {
        const ready = (await farPods(stage, place)).filter(
          (pod) => pod.ready && pod.containers.every((id) => !old.has(id)),
        );
        // Asked after they were seen to be ready: whoever is not enrolled by now was ready without.
        for (const name of await notEnrolled(stage, place, ready)) unmeshed.add(name);
        return ready.length;
      },
      (ready) => ready === before.length,
      5 * minutes,
    );
    const seconds = (performance.now() - begun) / 1000;
    const left = await notEnrolled(stage, place, before);
    return { enrolled: before.length - left.length, of: before.length, unmeshed: unmeshed.size, seconds };
  },
};

interface FarPod {
  readonly name: string;
  readonly ready: boolean;
  readonly containers: readonly string[];
}

async function farPods({ api }: Stage, { namespace }: Place): Promise<readonly FarPod[]> {
  return (await api.pods(namespace, 'app=far')).map((pod) => ({
    name: pod.metadata?.name ?? '',
    ready: isReady(pod),
    containers: (pod.status?.containerStatuses ?? []).map(({ containerID = '' }) => containerID),
  }));
}

async function notEnrolled(
  { mesh }: Stage,
  { namespace }: Place,
  pods: readonly FarPod[],
): Promise<string[]> {
  if (pods.length === 0) return [];
  const workloads = await mesh.workloads(namespace);
  return pods
    .map(({ name }) => name)
    .filter((name) => workloads.find((workload) => workload.name === name)?.enrolment !== 'enrolled');
}

export const nodeRows: readonly ClusterRow[] = [memory, rebootRow];
