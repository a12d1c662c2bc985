/**
 * What Istio's policies cannot say, as data: a namespace's default for inbound connections, where its pods may go
 * outside the mesh, and all of their UDP. `src/policy` judges by it, `src/datapath/egress` gives it to the kernel.
 */
import type { IpPrefix } from '../base/ip.ts';
import type { ServiceKey } from './mesh.ts';
import type { PolicyKey } from './policy.ts';

export type AccessDefault = 'allow' | 'deny';

/** All of them that select a pod add up: a default of `deny` wins over one of `allow`, a rule that denies over one that allows. */
export interface NamespaceAccess {
  /** `namespaceaccess/NAMESPACE/NAME`. */
  readonly key: PolicyKey;
  readonly namespace: string;
  readonly name: string;
  /** Of the namespace's pods those that have all of these labels; none: all pods. */
  readonly labels: Readonly<Record<string, string>>;
  /** When no AuthorizationPolicy with ALLOW applies; undefined: this object has no say in that. */
  readonly inbound: AccessDefault | undefined;
  /** undefined: this object has no say in that. */
  readonly egress: EgressAccess | undefined;
}

export interface EgressAccess {
  readonly default: AccessDefault;
  readonly rules: readonly EgressRule[];
}

/** Holds for what goes to one of the targets and one of the ports. */
export interface EgressRule {
  readonly action: 'allow' | 'deny';
  /** undefined: anywhere. */
  readonly to: readonly EgressTarget[] | undefined;
  /** undefined: every port, TCP and UDP. */
  readonly ports: readonly PortRange[] | undefined;
}

export type EgressTarget =
  | { readonly type: 'cidr'; readonly prefix: IpPrefix; readonly except: readonly IpPrefix[] }
  /** The addresses that its name resolves to: its own, or its endpoints' if it is headless. */
  | { readonly type: 'service'; readonly service: ServiceKey }
  /** All of its Services and pods; not pods in the host's network, whose address is the node's. */
  | { readonly type: 'namespace'; readonly namespace: string };

export type Transport = 'tcp' | 'udp';

/** Both ends included. */
export interface PortRange {
  readonly protocol: Transport;
  readonly first: number;
  readonly last: number;
}

export const accessKey = (namespace: string, name: string): PolicyKey =>
  `namespaceaccess/${namespace}/${name}` as PolicyKey;
