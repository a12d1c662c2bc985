/** Events about a pod, as `kubectl get events` shows them. */
import type { CoreV1Event } from '@kubernetes/client-node';
import type { ClusterApi } from './api.ts';

export async function eventsOf(
  { core }: ClusterApi,
  namespace: string,
  pod: string,
): Promise<readonly CoreV1Event[]> {
  const { items } = await core.listNamespacedEvent({
    namespace,
    fieldSelector: `involvedObject.kind=Pod,involvedObject.name=${pod}`,
  });
  return items.filter(({ reportingComponent }) => reportingComponent === 'mesh-ebpf.io/node');
}
