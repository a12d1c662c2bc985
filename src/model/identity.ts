/**
 * SPIFFE identities as Istio spells them: `spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/SERVICE-ACCOUNT`.
 * Source: SPIFFE-ID specification §2; exactly this shape and nothing looser is accepted.
 */
import type { Brand } from '../base/brand.ts';
import { MeshError } from '../base/errors.ts';

export type SpiffeId = Brand<string, 'SpiffeId'>;
export type TrustDomain = Brand<string, 'TrustDomain'>;

export interface IdentityParts {
  readonly trustDomain: TrustDomain;
  readonly namespace: string;
  readonly serviceAccount: string;
}

// Trust domain: lower-case letters, digits, dots, dashes, underscores (SPIFFE-ID §2.1). Names: RFC 1123 subdomains.
const trustDomainPattern = /^[a-z0-9._-]{1,255}$/;
const idPattern =
  /^spiffe:\/\/([a-z0-9._-]{1,255})\/ns\/([a-z0-9]([a-z0-9.-]*[a-z0-9])?)\/sa\/([a-z0-9]([a-z0-9.-]*[a-z0-9])?)$/;

/** @throws MeshError IDENTITY_INVALID */
export function parseTrustDomain(text: string): TrustDomain {
  if (!trustDomainPattern.test(text)) {
    throw new MeshError('IDENTITY_INVALID', `"${text}" is not a SPIFFE trust domain`);
  }
  return text as TrustDomain;
}

/** @throws MeshError IDENTITY_INVALID unless `uri` is a canonical workload identity. */
export function parseSpiffeId(uri: string): SpiffeId {
  if (uri.length > 2048 || !idPattern.test(uri)) {
    throw new MeshError('IDENTITY_INVALID', `"${uri.slice(0, 200)}" is not a workload's SPIFFE ID`, {
      hint: 'expected spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/SERVICE-ACCOUNT',
    });
  }
  return uri as SpiffeId;
}

export function spiffeId(parts: IdentityParts): SpiffeId {
  return parseSpiffeId(`spiffe://${parts.trustDomain}/ns/${parts.namespace}/sa/${parts.serviceAccount}`);
}

export function identityParts(id: SpiffeId): IdentityParts {
  const match = idPattern.exec(id);
  const [trustDomain = '', namespace = '', serviceAccount = ''] = [match?.[1], match?.[2], match?.[4]];
  return { trustDomain: trustDomain as TrustDomain, namespace, serviceAccount };
}
