/**
 * What a certificate authority consists of, and which part of it is in force at a given moment. Pure: a rotation
 * only writes down when things begin and end; time does the rest, so no step can be missed by a restart.
 */
import { X509Certificate } from 'node:crypto';
import { MeshError } from '../../base/errors.ts';
import type { TrustDomain } from '../../model/identity.ts';
import type { Signer } from './issue.ts';

/** A root with the intermediate that signs leaves in its name. Times are milliseconds since the epoch. */
export interface Lineage {
  readonly root: Signer;
  readonly intermediate: Signer;
  /** Leaves are signed under this root from then on: later than its creation, so that every node trusts it first. */
  readonly issuesFrom: number;
  /** Nodes are told to trust it until then; undefined until a successor is there. */
  readonly trustedUntil: number | undefined;
}

export interface AuthorityState {
  readonly trustDomain: TrustDomain;
  /** Oldest first, at least one. */
  readonly lineages: readonly Lineage[];
}

/** The lineage that signs now: the newest whose time has come. */
export function issuingLineage(state: AuthorityState, now: number): Lineage {
  const lineage = state.lineages.findLast(({ issuesFrom }) => issuesFrom <= now) ?? state.lineages[0];
  if (lineage === undefined) throw new MeshError('INTERNAL', 'a certificate authority without a root');
  return lineage;
}

/** Roots to trust now, PEM, oldest first: a new root from the day it is made, an old one until its leaves are gone. */
export function trustedRoots(state: AuthorityState, now: number): readonly string[] {
  return living(state, now).map(({ root }) => root.certificate);
}

/** Drops the roots that nobody needs any more, with their keys. */
export const withoutRetired = (state: AuthorityState, now: number): AuthorityState => ({
  ...state,
  lineages: living(state, now),
});

const living = ({ lineages }: AuthorityState, now: number): readonly Lineage[] =>
  lineages.filter(({ trustedUntil }) => trustedUntil === undefined || now < trustedUntil);

export const expiryOf = ({ certificate }: Pick<Signer, 'certificate'>): number =>
  new X509Certificate(certificate).validToDate.getTime();

export const startOf = ({ certificate }: Pick<Signer, 'certificate'>): number =>
  new X509Certificate(certificate).validFromDate.getTime();
