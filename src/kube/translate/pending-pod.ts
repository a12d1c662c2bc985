/** A pod by its name, as far as it is known before it has an address. Pure. */
import { MeshError } from '../../base/errors.ts';
import type { MeshConfig } from '../../model/mesh.ts';
import type { PendingWorkload } from '../../model/pod-lookup.ts';
import type { Namespace, Pod, SourcedObject } from '../objects.ts';
import { formatProblem } from '../problem.ts';
import { dataplaneModeLabel, pendingWorkload } from './workload.ts';

/** @throws MeshError INVALID_MANIFEST when there is such a pod, but it cannot be understood */
export function pendingPod(
  objects: readonly SourcedObject[],
  namespace: string,
  name: string,
  config: MeshConfig,
): PendingWorkload | undefined {
  const pod = objects.find((sourced): sourced is SourcedObject<Pod> => {
    const { kind, metadata } = sourced.object;
    return kind === 'Pod' && metadata.namespace === namespace && metadata.name === name;
  });
  if (pod === undefined) return undefined;
  const pending = pendingWorkload(pod, modeOf(objects, namespace), config);
  if ('problem' in pending) throw new MeshError('INVALID_MANIFEST', formatProblem(pending.problem));
  return pending;
}

function modeOf(objects: readonly SourcedObject[], name: string): string | undefined {
  const found = objects.find((sourced): sourced is SourcedObject<Namespace> => {
    const { kind, metadata } = sourced.object;
    return kind === 'Namespace' && metadata.name === name;
  });
  return found?.object.metadata.labels?.[dataplaneModeLabel];
}
