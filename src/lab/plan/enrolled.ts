/** Whether a pod is meant to be in the mesh, by label: its own, else its namespace's. Pure. */
import type { Pod } from '../../kube/objects.ts';
import { dataplaneModeLabel } from '../../kube/translate/workload.ts';
import type { Objects } from './objects.ts';

export function wantsMesh(pod: Pod, objects: Objects): boolean {
  const namespace = objects.get(`Namespace//${pod.metadata.namespace}`);
  const mode = pod.metadata.labels?.[dataplaneModeLabel] ?? namespace?.metadata.labels?.[dataplaneModeLabel];
  return mode === 'ambient';
}
