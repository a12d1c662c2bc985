/**
 * Who may talk to whom, as data: Istio's L4 security policies in the mesh's terms. Sources translate objects into it
 * (what they cannot translate is made stricter there, never looser); `src/policy` decides by it.
 */
import type { Brand } from '../base/brand.ts';
import type { IpPrefix, Port } from '../base/ip.ts';
import type { ServiceKey } from './mesh.ts';

/** `NAMESPACE/NAME` of an AuthorizationPolicy, `peerauthentication/NAMESPACE/NAME` of the other kind. */
export type PolicyKey = Brand<string, 'PolicyKey'>;

/** The destination workloads a policy applies to. */
export type PolicyScope =
  | { readonly type: 'mesh' }
  | { readonly type: 'namespace' }
  /** Those that have all of the labels; of a policy in the root namespace, in all namespaces. */
  | { readonly type: 'selector'; readonly labels: Readonly<Record<string, string>> }
  /** Those that serve one of these Services. */
  | { readonly type: 'services'; readonly services: readonly ServiceKey[] };

/** In the order in which they are asked. `custom`: refuses what it matches, because only a waypoint can ask its provider. */
export const policyActions = ['custom', 'deny', 'allow', 'audit'] as const;
export type PolicyAction = (typeof policyActions)[number];

/** Istio's `AuthorizationPolicy`. Rules are alternatives; a policy without rules matches nothing. */
export interface AuthorizationPolicy {
  readonly key: PolicyKey;
  readonly namespace: string;
  readonly name: string;
  readonly action: PolicyAction;
  readonly scope: PolicyScope;
  readonly rules: readonly PolicyRule[];
  /** Judged and reported, not enforced. */
  readonly dryRun?: true;
}

/** Matches when one of `from`, one of `to` and all of `when` match. What is absent or empty matches everything. */
export interface PolicyRule {
  /** Position in the object, from 1, where rules before it are left out; else it is that in this list. */
  readonly number?: number;
  readonly from?: readonly PolicyMatch[];
  readonly to?: readonly PolicyMatch[];
  readonly when?: readonly PolicyMatch[];
}

/**
 * Matches when all fields hold; the values of a field are alternatives, a field without values is none. Strings are
 * matched as Istio does: `abc`, `abc*` (prefix), `*abc` (suffix), `*` (there is one).
 */
export interface PolicyMatch {
  /** Of the source. */
  readonly namespaces?: readonly string[];
  /** Of the source, with or without `spiffe://`. */
  readonly principals?: readonly string[];
  /** Of the source as `NAMESPACE/NAME`, matched exactly and in any trust domain. */
  readonly serviceAccounts?: readonly string[];
  /** Of the source. */
  readonly trustDomains?: readonly string[];
  /** Where the connection comes from. */
  readonly ipBlocks?: readonly IpPrefix[];
  /** The workload's own address that is connected to. */
  readonly destinationIps?: readonly IpPrefix[];
  /** On the workload. */
  readonly ports?: readonly Port[];
  readonly notNamespaces?: readonly string[];
  readonly notPrincipals?: readonly string[];
  readonly notServiceAccounts?: readonly string[];
  readonly notTrustDomains?: readonly string[];
  readonly notIpBlocks?: readonly IpPrefix[];
  readonly notDestinationIps?: readonly IpPrefix[];
  readonly notPorts?: readonly Port[];
}

/** What a workload takes: mutual TLS only, or plaintext too. `disable` cannot keep HBONE out and is as `permissive`. */
export type MtlsMode = 'strict' | 'permissive' | 'disable';

/** Istio's `PeerAuthentication`. */
export interface PeerAuthentication {
  readonly key: PolicyKey;
  readonly namespace: string;
  readonly name: string;
  /** RFC 3339 in UTC, '' if unknown: of several for one scope the oldest counts, then the first by name. */
  readonly createdAt: string;
  readonly scope: Exclude<PolicyScope, { readonly type: 'services' }>;
  /** undefined inherits: from the namespace, from the mesh, else `permissive`. */
  readonly mode: MtlsMode | undefined;
  /** By the workload's port, where it differs. */
  readonly ports: ReadonlyMap<Port, MtlsMode>;
}

export const policyKey = (namespace: string, name: string): PolicyKey => `${namespace}/${name}` as PolicyKey;
export const peerAuthenticationKey = (namespace: string, name: string): PolicyKey =>
  `peerauthentication/${namespace}/${name}` as PolicyKey;
