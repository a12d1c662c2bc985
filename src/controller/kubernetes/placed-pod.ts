/** The few fields of a pod that decide who may have its identity: what is kept of each pod of the cluster. */
import { Type } from 'typebox';
import { Value } from 'typebox/value';
import type { NodeName } from '../../model/mesh.ts';

export interface PlacedPod {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  readonly serviceAccount: string;
  readonly node: NodeName;
  /** Has an identity of its own: still there, and not one of the node's own network. */
  readonly counts: boolean;
}

const podSchema = Type.Object({
  metadata: Type.Object({ uid: Type.String(), namespace: Type.String(), name: Type.String() }),
  spec: Type.Object({
    nodeName: Type.Optional(Type.String()),
    serviceAccountName: Type.Optional(Type.String()),
    hostNetwork: Type.Optional(Type.Boolean()),
  }),
  status: Type.Optional(Type.Object({ phase: Type.Optional(Type.String()) })),
});

/** Undefined for a pod that is on no node yet, and for what is no pod. */
export function placedPod(object: unknown): PlacedPod | undefined {
  if (!Value.Check(podSchema, object)) return undefined;
  const { metadata, spec, status } = object;
  if (spec.nodeName === undefined || spec.nodeName === '') return undefined;
  const finished = status?.phase === 'Succeeded' || status?.phase === 'Failed';
  return {
    uid: metadata.uid,
    namespace: metadata.namespace,
    name: metadata.name,
    serviceAccount: spec.serviceAccountName ?? 'default',
    node: spec.nodeName as NodeName,
    counts: !finished && spec.hostNetwork !== true,
  };
}
