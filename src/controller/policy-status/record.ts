/** A policy as far as its status is concerned: what the controller keeps of each. Pure. */
import { Type } from 'typebox';
import { Value } from 'typebox/value';
import type { PolicyKind } from '../../kube/api/feed.ts';
import { isPolicyKind, policyProblems } from '../../kube/policy-problems.ts';
import type { Problem } from '../../kube/problem.ts';
import type { MeshConfig } from '../../model/mesh.ts';

/** Anybody's, with fields of any kind: of those that are not ours everything is kept as it is. */
export interface Condition {
  readonly type: string;
  readonly status?: unknown;
  readonly reason?: unknown;
  readonly message?: unknown;
  readonly lastTransitionTime?: unknown;
  /** A number in quotes where Istio wrote it. */
  readonly observedGeneration?: unknown;
}

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

const statusSchema = Type.Object({ status: Type.Object({ conditions: Type.Array(Type.Unknown()) }) });
const conditionSchema = Type.Object({ type: Type.String() });

/** Undefined for what is no object of an API server. Conditions that are none are lost at the next write: nobody could read them. */
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
  Value.Check(statusSchema, object)
    ? object.status.conditions.filter((each): each is Condition => Value.Check(conditionSchema, each))
    : [];
