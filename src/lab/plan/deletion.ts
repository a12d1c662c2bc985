/** Which objects a deletion concerns and what it changes at once. Pure. */
import { MeshError } from '../../base/errors.ts';
import type { KubeObject, Kind, Pod, SourcedObject } from '../../kube/objects.ts';
import { namespaceOf, objectKey } from '../../kube/objects.ts';
import { noChanges } from './objects.ts';
import type { Changes, Objects } from './objects.ts';
import { isTerminating } from './pod-status.ts';

export interface ObjectName {
  readonly kind: Exclude<Kind, 'Node'>;
  /** Of no meaning for a Namespace. */
  readonly namespace: string;
  readonly name: string;
}

/** Objects by name, and those that manifests describe and that exist; with what lives in their namespaces. */
export function selectObjects(
  objects: Objects,
  names: readonly ObjectName[],
  manifests: readonly SourcedObject[],
): readonly KubeObject[] {
  const named = names.map((name) => findNamed(objects, name));
  const described = manifests.flatMap(({ object }) => objects.get(objectKey(object)) ?? []);
  const roots = [...named, ...described];
  const namespaces = new Set(
    roots.filter(({ kind }) => kind === 'Namespace').map(({ metadata }) => metadata.name),
  );
  const inside = [...objects.values()].filter((object) => namespaces.has(namespaceOf(object)));
  return [...new Set([...roots, ...inside])];
}

function findNamed(objects: Objects, { kind, namespace, name }: ObjectName): KubeObject {
  const found = objects.get(`${kind}/${kind === 'Namespace' ? '' : namespace}/${name}`);
  if (found !== undefined) return found;
  const elsewhere = [...objects.values()].filter(
    (object) => object.kind === kind && object.metadata.name === name,
  );
  const where = elsewhere.map((object) => `-n ${namespaceOf(object)}`).join(' or ');
  const place = kind === 'Namespace' ? '' : ` in namespace "${namespace}"`;
  throw new MeshError(
    'NOT_FOUND',
    `there is no ${kind} "${name}"${place}`,
    where === '' ? {} : { hint: `try ${where}` },
  );
}

const defaultGraceSeconds = 30;

export interface DeletionOptions {
  /** Milliseconds since the epoch. */
  readonly now: number;
  readonly graceSeconds: number | undefined;
}

/** Pods are only marked: their kubelet removes them. A second deletion can shorten the grace of the first. */
export function deletion(doomed: readonly KubeObject[], { now, graceSeconds }: DeletionOptions): Changes {
  return doomed.reduce<Changes>((changes, object) => {
    if (object.kind !== 'Pod') return changes;
    const seconds = graceSeconds ?? object.spec.terminationGracePeriodSeconds ?? defaultGraceSeconds;
    const marked = markedPod(object, new Date(now + seconds * 1000).toISOString());
    return { ...changes, write: [...changes.write, marked] };
  }, noChanges);
}

function markedPod(pod: Pod, deletionTimestamp: string): Pod {
  const earlier = pod.metadata.deletionTimestamp;
  if (isTerminating(pod) && earlier !== undefined && earlier <= deletionTimestamp) return pod;
  return { ...pod, metadata: { ...pod.metadata, deletionTimestamp } };
}
