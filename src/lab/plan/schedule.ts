/** Which node a new pod goes to: the one it names, else the one with the fewest pods. Pure. */
import { MeshError } from '../../base/errors.ts';
import type { Pod } from '../../kube/objects.ts';
import type { LabNode } from '../topology.ts';

/** @throws MeshError NOT_FOUND when the pod names a node that is not in the lab. */
export function schedule(pod: Pod, nodes: readonly LabNode[], pods: Iterable<Pod>): LabNode {
  const wanted = pod.spec.nodeName;
  if (wanted === undefined) return leastLoaded(nodes, pods);
  const node = nodes.find(({ name }) => name === wanted);
  if (node !== undefined) return node;
  throw new MeshError('NOT_FOUND', `there is no node "${wanted}"`, {
    hint: `the lab has ${nodes.map(({ name }) => name).join(', ')}; start it with --nodes to have more`,
  });
}

function leastLoaded(nodes: readonly LabNode[], pods: Iterable<Pod>): LabNode {
  const load = new Map(nodes.map((node) => [node.name, 0]));
  for (const pod of pods) {
    const count = load.get(pod.spec.nodeName ?? '');
    if (count !== undefined) load.set(pod.spec.nodeName ?? '', count + 1);
  }
  const [first, ...rest] = nodes;
  if (first === undefined) throw new MeshError('INTERNAL', 'the lab has no nodes');
  const loadOf = (node: LabNode): number => load.get(node.name) ?? 0;
  return rest.reduce((best, node) => (loadOf(node) < loadOf(best) ? node : best), first);
}
