/** A policy as far as its status is concerned: what the controller keeps of each. Pure. */
import { type Static, Type } from 'typebox';
import { Value } from 'typebox/value';
import type { PolicyKind } from '../../kube/api/feed.ts';
import { isPolicyKind, policyProblems } from '../../kube/policy-problems.ts';
import type { Problem } from '../../kube/problem.ts';
import type { MeshConfig } from '../../model/mesh.ts';

/** Anybody's: of those that are not ours everything is kept as it is. */
const ConditionSchema = Type.Object({
  type: Type.String(),
  status: Type.Optional(Type.String()),
  reason: Type.Optional(Type.String()),
  message: Type.Optional(Type.String()),
  lastTransitionTime: Type.Optional(Type.String()),
  /** A number in quotes where Istio wrote it. */
  observedGeneration: Type.Optional(Type.Union([Type.Integer(), Type.String()])),
});
export type Condition = Static<typeof ConditionSchema>;

export interface PolicyRecord {
  readonly kind: PolicyKind;
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly generation: number;
  readonly resourceVersion: string;
  /** What its status says now. */
  readonly conditions: readonly Condition[];
  readonly problems: readonly Problem[];
}

const objectSchema = Type.Object({
  kind: Type.String(),
  metadata: Type.Object({
    namespace: Type.String(),
    name: Type.String(),
    uid: Type.String(),
    generation: Type.Integer(),
    resourceVersion: Type.String(),
  }),
});

const statusSchema = Type.Object({
  status: Type.Object({ conditions: Type.Array(ConditionSchema) }),
});

/** Undefined for what is no object of an API server. A status that is none is overwritten: nobody could read it. */
export function policyRecord(object: unknown, config: MeshConfig): PolicyRecord | undefined {
  if (!Value.Check(objectSchema, object) || !isPolicyKind(object.kind)) return undefined;
  const { kind, metadata } = object;
  const { namespace, name, uid, generation, resourceVersion } = metadata;
  return {
    kind,
    namespace,
    name,
    uid,
    generation,
    resourceVersion,
    conditions: conditionsOf(object),
    problems: policyProblems(kind, object, config),
  };
}

export const conditionsOf = (object: unknown): readonly Condition[] =>
  Value.Check(statusSchema, object) ? object.status.conditions : [];
