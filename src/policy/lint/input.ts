/** What is linted: a version of the mesh, and what is known beside it. */
import type { Port } from '../../base/ip.ts';
import type { ServiceKey, Workload } from '../../model/mesh.ts';
import type { MeshView } from '../../model/view.ts';

export interface LintInput {
  readonly view: MeshView;
  /** True of a running mesh. False of files: what is not in them may be elsewhere, and without a pod nothing is said of pods. */
  readonly complete: boolean;
  /** The ports that the pod's manifest names; undefined where manifests are not known. */
  readonly declaredPorts: ((workload: Workload) => readonly Port[]) | undefined;
  readonly networkPolicies: readonly NetworkPolicy[];
  /** Namespaces that are there, with pods or without. */
  readonly namespaces: ReadonlySet<string>;
  /** Where node programs get certificates; undefined where that is not in the mesh. */
  readonly controller: ServiceKey | undefined;
}

/** Kubernetes' NetworkPolicy, as far as ports go. */
export interface NetworkPolicy {
  readonly namespace: string;
  readonly name: string;
  readonly pods: LabelSelector;
  /** Alternatives; undefined: it restricts nothing in this direction. */
  readonly ingress: readonly NetworkRule[] | undefined;
  readonly egress: readonly NetworkRule[] | undefined;
}

/** All requirements must hold. */
export type LabelSelector = readonly LabelRequirement[];

export interface LabelRequirement {
  readonly key: string;
  readonly operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist';
  readonly values: readonly string[];
}

export interface NetworkRule {
  /** undefined: all. */
  readonly ports: readonly NetworkPort[] | undefined;
}

export interface NetworkPort {
  readonly protocol: 'TCP' | 'UDP' | 'SCTP';
  /** undefined: all; a name is one of the pod's container ports. */
  readonly port: Port | string | undefined;
  readonly endPort: number | undefined;
}
