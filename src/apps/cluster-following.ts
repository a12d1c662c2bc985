/** What the controller follows at the API server: pods, for whom it signs, and policies, whose status it writes. */
import { systemClock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import { PodIndex } from '../controller/kubernetes/pod-index.ts';
import { LivePods, type PodsByNode, WatchedPods } from '../controller/kubernetes/pods-by-node.ts';
import { PolicyStatus } from '../controller/policy-status/policy-status.ts';
import { ApiSource } from '../kube/api/api-source.ts';
import { ApiConnection } from '../kube/api/connection.ts';
import { type Feed, placementFeed, policyStatusFeeds } from '../kube/api/feed.ts';
import type { ApiServer, KubeClient } from '../kube/client/kube-client.ts';
import type { ObjectSink } from '../kube/source.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { ClusterControllerConfig } from './config/cluster-controller-config.ts';
import type { NoteForbidden } from './forbidden.ts';

interface Following {
  readonly client: KubeClient;
  readonly server: ApiServer;
  readonly log: Logger;
  readonly version: string;
  readonly metrics: Metrics;
  readonly forbidden: NoteForbidden;
  readonly cleanup: AsyncDisposableStack;
}

/** Nobody waits for the watch: until it has told of all pods, the API server is asked. */
export function followPods(following: Following, status: PolicyStatus): PodsByNode {
  const index = new PodIndex();
  follow(following, [placementFeed], {
    changed: (change) => {
      index.changed(change);
      status.pods.changed(change);
    },
    faulty: () => index.faulty(),
  });
  return new WatchedPods(index, new LivePods(following.client), systemClock);
}

/** On a connection of its own: policies that may not be read are no reason to know nothing of pods. */
export function startPolicyStatus(
  { mesh, namespace, nodeAgent }: ClusterControllerConfig,
  following: Following,
  leading: () => boolean,
): PolicyStatus {
  const { client, metrics, cleanup } = following;
  let source: ApiSource | undefined;
  const status = new PolicyStatus(
    {
      client,
      clock: systemClock,
      log: following.log.child({ scope: 'policy-status' }),
      leading,
      unread: () => source?.status().conditions[0]?.error,
      written: (result) => metrics.count('mesh_policy_status_writes_total', { result }),
    },
    mesh,
    { namespace, serviceAccount: nodeAgent },
  );
  cleanup.defer(() => status.stop());
  source = follow(following, policyStatusFeeds, status.policies);
  metrics.observe('mesh_policy_report_nodes', () =>
    Object.entries(status.nodes).map(([state, value]) => ({ labels: { state }, value })),
  );
  return status;
}

function follow(
  { server, log, version, forbidden, cleanup }: Following,
  feeds: readonly Feed[],
  sink: ObjectSink,
): ApiSource {
  const connection = new ApiConnection(systemClock, server, `mesh-ebpf-controller/${version}`);
  const source = new ApiSource(
    { connection, clock: systemClock, log, forbidden },
    { feeds, lastGood: undefined },
  );
  // Its end before it was read is the stop below.
  source.start(sink).catch(() => {});
  cleanup.defer(() => source.stop());
  return source;
}
