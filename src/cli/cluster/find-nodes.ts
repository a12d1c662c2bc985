/** The nodes of a cluster, by the pods of the node program on them. */
import { MeshError } from '../../base/errors.ts';
import { nodeAgentName } from '../../controller/kubernetes/names.ts';
import { listObjects } from '../../kube/client/kube-objects.ts';
import { resources } from '../../kube/client/resources.ts';
import type { CliEnv, Cluster } from '../env.ts';
import type { Found, NodeChoice, Unreachable } from '../node-handle.ts';
import { printableLines } from '../printable.ts';
import { type AgentPlace, type AgentPod, agentPlaces } from './agent-pods.ts';
import { missingPods } from './missing-pods.ts';
import { type RemoteNode, remoteNode } from './remote-node.ts';

/**
 * The nodes chosen. Those whose pod does not run, or that have none, are unreachable.
 * @throws MeshError NOT_FOUND when the mesh is not there, or no node has the name asked for; by `api-refusal.ts`
 */
export async function findClusterNodes(
  env: CliEnv,
  cluster: Cluster,
  choice: NodeChoice,
): Promise<Found<RemoteNode>> {
  const only = choice.node === undefined ? [] : await placesIn(cluster, choice, choice.node);
  const { places, unreachable } =
    only.length > 0 ? { places: only, unreachable: [] } : await all(env, cluster, choice);
  const found = {
    handles: handlesOf(env, cluster, choice, places),
    unreachable: [...unreachable, ...troubled(choice.meshNamespace, places)],
  };
  return choice.node === undefined ? found : onlyNode(choice.node, found);
}

async function placesIn(
  { client }: Cluster,
  { meshNamespace: namespace }: NodeChoice,
  node?: string,
): Promise<readonly AgentPlace[]> {
  const pods = await listObjects<AgentPod>(client, resources.pods, {
    namespace,
    labelSelector: `app.kubernetes.io/name=${nodeAgentName}`,
    ...(node !== undefined && { fieldSelector: `spec.nodeName=${node}` }),
  });
  return agentPlaces(pods);
}

async function all(
  env: CliEnv,
  cluster: Cluster,
  choice: NodeChoice,
): Promise<{ readonly places: readonly AgentPlace[]; readonly unreachable: readonly Unreachable[] }> {
  const places = await placesIn(cluster, choice);
  const present = new Set(places.map(({ node }) => node));
  const { daemonSet, unreachable, hint } = await missingPods(cluster, choice.meshNamespace, present);
  if (places.length + unreachable.length === 0) throw notThere(cluster, choice, daemonSet === 'installed');
  if (hint !== undefined) say(env, hint);
  return { places, unreachable };
}

function notThere({ server }: Cluster, { meshNamespace }: NodeChoice, installed: boolean): MeshError {
  const where = `namespace ${meshNamespace} of the cluster at ${server}`;
  return installed
    ? new MeshError('UNAVAILABLE', `the mesh has no pod on any node (${where})`, {
        hint: `kubectl -n ${meshNamespace} describe daemonset ${nodeAgentName}`,
      })
    : new MeshError('UNAVAILABLE', `the mesh is not in ${where}`, {
        hint: 'choose another with --context or --mesh-namespace, or put it there with: mesh-ebpf install',
      });
}

function handlesOf(
  env: CliEnv,
  cluster: Cluster,
  { meshNamespace, timeout }: NodeChoice,
  places: readonly AgentPlace[],
): readonly RemoteNode[] {
  const said = new Set<string>();
  const skewed = (node: string, version: string): void => {
    if (said.has(version)) return;
    said.add(version);
    say(
      env,
      `node ${node} runs mesh-ebpf ${version}, this program is ${env.version}: something may be lacking`,
    );
  };
  return places
    .filter(({ trouble }) => trouble === undefined)
    .map((place) => remoteNode(env, cluster, place, { namespace: meshNamespace, timeout, skewed }));
}

const troubled = (namespace: string, places: readonly AgentPlace[]): readonly Unreachable[] =>
  places.flatMap(({ node, pod, trouble }) =>
    trouble === undefined
      ? []
      : {
          node,
          where: `pod ${namespace}/${pod}`,
          error: new MeshError('UNAVAILABLE', `pod ${namespace}/${pod} does not run: ${trouble}`, {
            hint: `kubectl -n ${namespace} describe pod ${pod}`,
          }),
        },
  );

function onlyNode(name: string, { handles, unreachable }: Found<RemoteNode>): Found<RemoteNode> {
  const only = <T extends { readonly node: string }>(list: readonly T[]): readonly T[] =>
    list.filter(({ node }) => node === name);
  const found = { handles: only(handles), unreachable: only(unreachable) };
  if (found.handles.length + found.unreachable.length > 0) return found;
  throw noSuchNode(name, [...handles, ...unreachable], 'in this cluster');
}

const maxNamesSaid = 20;

/** `where`: `here`, `in this cluster`. */
export function noSuchNode(
  name: string,
  known: readonly { readonly node: string }[],
  where: string,
): MeshError {
  const names = known.map(({ node }) => node).toSorted();
  const more = names.length > maxNamesSaid ? ` and ${names.length - maxNamesSaid} more` : '';
  return new MeshError('NOT_FOUND', `there is no node "${name}" ${where}`, {
    hint: `nodes: ${names.slice(0, maxNamesSaid).join(', ')}${more}`,
  });
}

const say = (env: CliEnv, hint: string): void => env.stderr.write(`${printableLines(hint)}\n`);
