/**
 * Credentials of workloads: what the certificate manager (`src/identity`) keeps and the data path (`src/net`) uses.
 * They live here because those two may not know each other.
 */
import type { SpiffeId, TrustDomain } from './identity.ts';

/** Everything TLS needs for one identity: PEM texts, leaf first. */
export interface Credentials {
  readonly identity: SpiffeId;
  readonly trustDomain: TrustDomain;
  readonly certificateChain: string;
  readonly privateKey: string;
  readonly trustedRoots: string;
  /** Milliseconds since the epoch. */
  readonly notAfter: number;
}

/** Certificates on demand. `get` returns the same object until the certificate was renewed. */
export interface CredentialSource {
  /** @throws MeshError CERTIFICATE_UNAVAILABLE when none could be had within the signal. */
  get(identity: SpiffeId, options: { readonly signal: AbortSignal }): Promise<Credentials>;
}
