/** Nodes that should have a pod of the node program and have none: the DaemonSet says how many, the nodes which. */
import { asMeshError, MeshError } from '../../base/errors.ts';
import { nodeAgentName } from '../../controller/kubernetes/names.ts';
import { type KubeObject, listObjects, readObject } from '../../kube/client/kube-objects.ts';
import { type Resource, resources } from '../../kube/client/resources.ts';
import type { Cluster } from '../env.ts';
import type { Unreachable } from '../node-handle.ts';

interface AgentDaemonSet extends KubeObject {
  readonly spec?: {
    readonly template?: { readonly spec?: { readonly nodeSelector?: Readonly<Record<string, string>> } };
  };
  readonly status?: { readonly desiredNumberScheduled?: number };
}

const nodes: Resource = { apiVersion: 'v1', kind: 'Node', plural: 'nodes', namespaced: false };

/** A mesh that is not there at all is for the caller to tell. */
export type DaemonSetState = 'installed' | 'absent' | 'unknown';

export interface MissingPods {
  readonly daemonSet: DaemonSetState;
  readonly unreachable: readonly Unreachable[];
  /** What could not be found out, for the person. */
  readonly hint: string | undefined;
}

/** Reads more than asking nodes needs; whoever lacks these rights gets a hint and the rest of the answer. */
export async function missingPods(
  { client }: Cluster,
  namespace: string,
  present: ReadonlySet<string>,
): Promise<MissingPods> {
  try {
    const daemonSet = await readObject<AgentDaemonSet>(client, resources.daemonSets, {
      namespace,
      name: nodeAgentName,
    });
    if (daemonSet === undefined) return { daemonSet: 'absent', unreachable: [], hint: undefined };
    const wanted = daemonSet.status?.desiredNumberScheduled ?? 0;
    const unreachable =
      wanted <= present.size ? [] : await nodesWithout(client, daemonSet, { wanted, present });
    return { daemonSet: 'installed', unreachable, hint: undefined };
  } catch (thrown) {
    const { code, message, hint } = asMeshError(thrown);
    if (code !== 'API_FORBIDDEN') throw thrown;
    const next = hint === undefined ? '' : ` (${hint})`;
    return {
      daemonSet: 'unknown',
      unreachable: [],
      hint: `nodes that have no pod of the mesh are not shown: ${message}${next}`,
    };
  }
}

async function nodesWithout(
  client: Cluster['client'],
  daemonSet: AgentDaemonSet,
  { wanted, present }: { readonly wanted: number; readonly present: ReadonlySet<string> },
): Promise<readonly Unreachable[]> {
  const selector = Object.entries(daemonSet.spec?.template?.spec?.nodeSelector ?? {});
  const labelSelector = selector.map(([key, value]) => `${key}=${value}`).join(',');
  const all = await listObjects<KubeObject>(client, nodes, labelSelector === '' ? {} : { labelSelector });
  const { namespace = '' } = daemonSet.metadata;
  return all
    .filter(({ metadata }) => !present.has(metadata.name))
    .map(({ metadata: { name } }) => ({
      node: name,
      where: `daemonset ${namespace}/${nodeAgentName}`,
      error: new MeshError(
        'UNAVAILABLE',
        `it has no pod of the mesh: the DaemonSet wants ${wanted} and has ${present.size}`,
        { hint: `kubectl -n ${namespace} describe daemonset ${nodeAgentName}` },
      ),
    }));
}
