/** Waits until every pod of the lab is ready, or one cannot become so. */
import { MeshError } from '../../base/errors.ts';
import type { Pod } from '../../kube/objects.ts';
import { objectsOfKind } from '../plan/objects.ts';
import { isPodReady } from '../plan/pod-status.ts';
import { ObjectStore } from '../system/object-store.ts';
import type { LabContext } from './context.ts';
import { waitFor } from './wait.ts';

/** @throws MeshError UNAVAILABLE when a pod failed, TIMEOUT with those that are not ready. */
export async function waitForPods(context: LabContext, timeoutMs: number): Promise<void> {
  const store = new ObjectStore(context.layout);
  await waitFor(context, {
    timeoutMs,
    missing: () => Promise.resolve(unreadyPods(objectsOfKind(store.read(), 'Pod'))),
  });
}

/** @throws MeshError UNAVAILABLE */
export function unreadyPods(pods: readonly Pod[]): string | undefined {
  const failed = pods.find((pod) => pod.status?.phase === 'Failed');
  if (failed !== undefined) {
    throw new MeshError(
      'UNAVAILABLE',
      `pod ${podName(failed)} failed: ${failed.status?.message ?? 'no reason given'}`,
      {
        hint: `mesh-ebpf lab logs ${podName(failed)}`,
      },
    );
  }
  const unready = pods.filter((pod) => !isPodReady(pod) && pod.status?.phase !== 'Succeeded');
  if (unready.length === 0) return undefined;
  const named = unready.slice(0, 3).map(describe).join(', ');
  const more = unready.length > 3 ? ` and ${unready.length - 3} more` : '';
  return `${unready.length} of ${pods.length} pods are not ready: ${named}${more}`;
}

const podName = ({ metadata }: Pod): string => `${metadata.namespace}/${metadata.name}`;

const describe = (pod: Pod): string =>
  `${podName(pod)} (${pod.status?.reason ?? pod.status?.phase ?? 'unknown'})`;
