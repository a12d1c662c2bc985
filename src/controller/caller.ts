/** Who asks the certificate authority, once its token was checked, and what it may have. */
import { spiffeId, type SpiffeId, type TrustDomain } from '../model/identity.ts';
import type { NodeName } from '../model/mesh.ts';

/** A node speaks for the pods on it; a workload (dedicated ztunnel, virtual machine) for itself only. */
export type Caller =
  | { readonly type: 'node'; readonly node: NodeName }
  | { readonly type: 'workload'; readonly namespace: string; readonly serviceAccount: string };

export interface Authenticator {
  /** undefined for a token nobody has, or no longer has. Takes equally long for every wrong token. */
  authenticate(token: string): Promise<Caller | undefined>;
}

export type IssuanceVerdict =
  { readonly allowed: true } | { readonly allowed: false; readonly reason: string };

export interface IssuancePolicy {
  decide(caller: Caller, identity: SpiffeId): IssuanceVerdict;
}

/** The one identity of a workload's token; a node has none of its own. */
export const ownIdentity = (caller: Caller, trustDomain: TrustDomain): SpiffeId | undefined =>
  caller.type === 'workload' ? spiffeId({ trustDomain, ...caller }) : undefined;

/** `node/NAME` or `workload/NAMESPACE/SERVICE-ACCOUNT`: for log lines and as the key of limits. */
export const callerName = (caller: Caller): string =>
  caller.type === 'node' ? `node/${caller.node}` : `workload/${caller.namespace}/${caller.serviceAccount}`;
