/** A pod by what a person calls it. Pure. */
import { MeshError } from '../../base/errors.ts';
import type { Pod } from '../../kube/objects.ts';

export interface PodName {
  /** undefined: in whichever namespace there is one. */
  readonly namespace: string | undefined;
  readonly name: string;
}

/** @throws MeshError NOT_FOUND, with the pods there are; INVALID_ARGUMENT when several have the name. */
export function findPod(pods: readonly Pod[], { namespace, name }: PodName): Pod {
  const found = pods.filter(
    ({ metadata }) => metadata.name === name && (namespace === undefined || metadata.namespace === namespace),
  );
  const [pod, second] = found;
  if (second !== undefined) {
    throw new MeshError('INVALID_ARGUMENT', `there are several pods "${name}"`, {
      hint: `say which: ${found.map(fullName).join(', ')}`,
    });
  }
  if (pod !== undefined) return pod;
  const full = namespace === undefined ? name : `${namespace}/${name}`;
  const others = pods.slice(0, 10).map(fullName).join(', ');
  throw new MeshError('NOT_FOUND', `there is no pod "${full}"`, {
    hint: others === '' ? 'the lab has no pods: mesh-ebpf lab apply -f FILE' : `there are ${others}`,
  });
}

const fullName = ({ metadata }: Pod): string => `${metadata.namespace}/${metadata.name}`;
