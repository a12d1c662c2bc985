/** The pods of the node program: on which node each is, and what keeps one from being asked. Pure. */
import { type ObservedPod, whyNotRunning } from '../../kube/client/pod-trouble.ts';

/** The container with the node program. */
export const agentContainer = 'node';

export interface AgentPod extends ObservedPod {
  readonly metadata: ObservedPod['metadata'] & {
    readonly creationTimestamp?: string;
    readonly deletionTimestamp?: string;
  };
  readonly spec?: NonNullable<ObservedPod['spec']> & {
    readonly affinity?: { readonly nodeAffinity?: NodeAffinity };
  };
}

interface NodeAffinity {
  readonly requiredDuringSchedulingIgnoredDuringExecution?: {
    readonly nodeSelectorTerms?: readonly {
      readonly matchFields?: readonly { readonly key?: string; readonly values?: readonly string[] }[];
    }[];
  };
}

/** The one pod by which a node is asked. */
export interface AgentPlace {
  readonly node: string;
  readonly pod: string;
  /** Why its program cannot be asked; undefined when it runs. */
  readonly trouble: string | undefined;
}

/** One place for each node that has a pod, by the node's name. While one pod replaces another, the one that runs. */
export function agentPlaces(pods: readonly AgentPod[]): readonly AgentPlace[] {
  const byNode = Map.groupBy(pods, nodeOf);
  return [...byNode]
    .map(([node, candidates]) => placeOf(node, candidates))
    .toSorted((a, b) => (a.node < b.node ? -1 : 1));
}

function placeOf(node: string, candidates: readonly AgentPod[]): AgentPlace {
  const [best] = candidates.toSorted((a, b) => rank(a) - rank(b) || (createdAt(a) > createdAt(b) ? -1 : 1));
  return { node, pod: best?.metadata.name ?? '', trouble: best === undefined ? 'no pod' : troubleOf(best) };
}

/** A pod that is stopping still answers; one that does not run never does. */
const rank = (pod: AgentPod): number =>
  (troubleOf(pod) === undefined ? 0 : 2) + (pod.metadata.deletionTimestamp === undefined ? 0 : 1);

const createdAt = ({ metadata }: AgentPod): string => metadata.creationTimestamp ?? '';

/** A pod that waits for its node has no `nodeName` yet, but the DaemonSet has written into it which it is for. */
function nodeOf({ metadata, spec }: AgentPod): string {
  const required = spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  const fields = required?.nodeSelectorTerms?.flatMap(({ matchFields }) => matchFields ?? []);
  const planned = fields?.find(({ key }) => key === 'metadata.name')?.values?.[0];
  return spec?.nodeName ?? planned ?? `(of pod ${metadata.name})`;
}

const troubleOf = (pod: AgentPod): string | undefined => whyNotRunning(pod, agentContainer);
