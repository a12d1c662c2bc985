/** The pods of the node program: on which node each is, and what keeps one from being asked. Pure. */
import type { KubeObject } from '../../kube/client/kube-objects.ts';

/** The container with the node program. */
export const agentContainer = 'node';

/** What is read of a pod; the API server leaves out what is not set. */
export interface AgentPod extends KubeObject {
  readonly metadata: KubeObject['metadata'] & {
    readonly creationTimestamp?: string;
    readonly deletionTimestamp?: string;
  };
  readonly spec?: {
    readonly nodeName?: string;
    readonly affinity?: { readonly nodeAffinity?: NodeAffinity };
  };
  readonly status?: {
    readonly phase?: string;
    readonly reason?: string;
    readonly message?: string;
    readonly conditions?: readonly Condition[];
    readonly containerStatuses?: readonly ContainerStatus[];
  };
}

interface NodeAffinity {
  readonly requiredDuringSchedulingIgnoredDuringExecution?: {
    readonly nodeSelectorTerms?: readonly {
      readonly matchFields?: readonly { readonly key?: string; readonly values?: readonly string[] }[];
    }[];
  };
}

interface Condition {
  readonly type?: string;
  readonly status?: string;
  readonly message?: string;
}

interface ContainerStatus {
  readonly name?: string;
  readonly state?: {
    readonly running?: object;
    readonly waiting?: { readonly reason?: string; readonly message?: string };
    readonly terminated?: { readonly exitCode?: number; readonly reason?: string };
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

function troubleOf(pod: AgentPod): string | undefined {
  const { phase = 'unknown', reason, message, conditions = [], containerStatuses = [] } = pod.status ?? {};
  const state = containerStatuses.find(({ name }) => name === agentContainer)?.state;
  if (phase === 'Running' && state?.running !== undefined) return undefined;
  const { waiting, terminated } = state ?? {};
  if (waiting !== undefined && waiting.message !== undefined) return said(waiting.reason, waiting.message);
  if (terminated !== undefined) {
    return said(terminated.reason, `its program ended with exit status ${terminated.exitCode ?? 'unknown'}`);
  }
  const unscheduled = conditions.find(({ type, status }) => type === 'PodScheduled' && status === 'False');
  const why = unscheduled?.message ?? message ?? waiting?.reason ?? reason;
  return why === undefined ? `it is ${phase}` : said(phase, why);
}

const said = (reason: string | undefined, message: string): string =>
  reason === undefined ? message : `${reason}: ${message}`;
