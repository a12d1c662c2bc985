/** What a pod of the mesh counts, asked as Prometheus would, through the API server. */
import { meshNamespace, nodeAgentName } from '../../../src/controller/kubernetes/names.ts';
import { metricsPort } from '../../../src/base/ports.ts';
import { MeshError } from '../../../src/base/errors.ts';
import type { ClusterApi } from './api.ts';

export interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** The pod of the mesh's node program on a node. @throws MeshError NOT_FOUND */
export async function agentOn(api: ClusterApi, node: string): Promise<string> {
  const pods = await api.pods(meshNamespace, `app.kubernetes.io/name=${nodeAgentName}`);
  const name = pods.find(({ spec, metadata }) => spec?.nodeName === node && !metadata?.deletionTimestamp)
    ?.metadata?.name;
  if (name !== undefined) return name;
  throw new MeshError('NOT_FOUND', `no node program is on node ${node}`);
}

/** Every sample of one metric, from one pod of the mesh; none if it does not count that (yet). */
export async function samplesOf(api: ClusterApi, pod: string, metric: string): Promise<readonly Sample[]> {
  const text: string = await api.core.connectGetNamespacedPodProxyWithPath({
    namespace: meshNamespace,
    name: `${pod}:${metricsPort}`,
    path: 'metrics',
  });
  return text.split('\n').flatMap((line) => parseSample(line, metric) ?? []);
}

/** The metrics `mesh_pods` of a node, by state. */
export async function podCounts(api: ClusterApi, node: string): Promise<Readonly<Record<string, number>>> {
  const samples = await samplesOf(api, await agentOn(api, node), 'mesh_pods');
  return Object.fromEntries(samples.map(({ labels, value }) => [labels['state'] ?? '', value]));
}

/** `NAME{LABEL="VALUE",…} NUMBER`; the labels of the mesh need no escapes. */
function parseSample(line: string, metric: string): Sample | undefined {
  const [, name, labels = '', value] = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
  if (name !== metric) return undefined;
  const pairs = [...labels.matchAll(/(\w+)="([^"]*)"/g)].map(
    ([, key = '', text = '']) => [key, text] as const,
  );
  return { labels: Object.fromEntries(pairs), value: Number(value) };
}
