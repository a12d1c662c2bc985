/** Who asks the certificate authority, once its token was checked, and what it may have. */
import { identityParts, spiffeId, type SpiffeId, type TrustDomain } from '../model/identity.ts';
import type { NodeName } from '../model/mesh.ts';

/** A node speaks for the pods on it; a workload (dedicated ztunnel, virtual machine) for itself only. */
export type Caller =
  | { readonly type: 'node'; readonly node: NodeName }
  | { readonly type: 'workload'; readonly namespace: string; readonly serviceAccount: string };

/** Somebody whose token proves nothing. */
export interface Stranger {
  readonly type: 'stranger';
  /** For the caller: what is wrong with the token and what to do. */
  readonly reason: string;
}

export interface Authenticator {
  /**
   * Whose token it is. `peer` is the other end's address, for limits only: it proves nothing.
   * @throws MeshError UNAVAILABLE when that cannot be found out now, OVERLOADED when the peer asks too often.
   */
  authenticate(token: string, peer: string): Promise<Caller | Stranger>;
}

export type IssuanceVerdict =
  { readonly allowed: true } | { readonly allowed: false; readonly reason: string };

export interface IssuancePolicy {
  /** @throws MeshError UNAVAILABLE when that cannot be found out now, OVERLOADED when the caller asks too often. */
  decide(caller: Caller, identity: SpiffeId): Promise<IssuanceVerdict>;
}

/** The one identity of a workload's token; a node has none of its own. */
export const ownIdentity = (caller: Caller, trustDomain: TrustDomain): SpiffeId | undefined =>
  caller.type === 'workload' ? spiffeId({ trustDomain, ...caller }) : undefined;

/** A workload's own token gives that workload's identity only. */
export const workloadVerdict = (
  caller: Extract<Caller, { type: 'workload' }>,
  identity: SpiffeId,
): IssuanceVerdict =>
  ownIdentity(caller, identityParts(identity).trustDomain) === identity
    ? { allowed: true }
    : refused(`the token is for ${callerName(caller)} only`);

export const refused = (reason: string): IssuanceVerdict => ({ allowed: false, reason });
export const stranger = (reason: string): Stranger => ({ type: 'stranger', reason });

/** `node/NAME` or `workload/NAMESPACE/SERVICE-ACCOUNT`: for log lines and as the key of limits. */
export const callerName = (caller: Caller): string =>
  caller.type === 'node' ? `node/${caller.node}` : `workload/${caller.namespace}/${caller.serviceAccount}`;
