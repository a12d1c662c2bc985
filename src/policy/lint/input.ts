/** What is linted: a version of the mesh, and what is known beside it. */
import type { IpPrefix, Port } from '../../base/ip.ts';
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
  /** Of namespaces; of one that is missing they are not known. */
  readonly namespaceLabels: ReadonlyMap<string, Workload['labels']>;
  /** Where node programs get certificates; undefined where that is not in the mesh. */
  readonly controller: ServiceKey | undefined;
}

/** Kubernetes' NetworkPolicy. */
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
  /** Alternatives; undefined: everybody. */
  readonly peers: readonly NetworkPeer[] | undefined;
  /** undefined: all. */
  readonly ports: readonly NetworkPort[] | undefined;
}

export type NetworkPeer =
  | {
      readonly type: 'pods';
      /** undefined: in the policy's own namespace. */
      readonly namespaces: LabelSelector | undefined;
      readonly pods: LabelSelector;
    }
  | { readonly type: 'block'; readonly prefix: IpPrefix; readonly except: readonly IpPrefix[] };

export interface NetworkPort {
  readonly protocol: 'TCP' | 'UDP' | 'SCTP';
  /** undefined: all; a name is one of the pod's container ports. */
  readonly port: Port | string | undefined;
  readonly endPort: number | undefined;
}
