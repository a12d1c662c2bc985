/** What the certificate manager needs of a certificate authority. `grpc-ca-client.ts` is the real one. */
import type { SpiffeId } from '../model/identity.ts';

export interface SigningRequest {
  readonly identity: SpiffeId;
  /** PKCS #10 in PEM. */
  readonly csr: string;
  /** Wanted lifetime; the authority may give less. */
  readonly validitySeconds: number;
}

export interface CaClient {
  /**
   * The authority's answer, unverified: PEM texts, leaf first, intermediates, last the trusted roots (concatenated).
   * Settles within the client's own deadline.
   * @throws MeshError CA_REFUSED, UNAVAILABLE or TIMEOUT.
   */
  sign(request: SigningRequest, options: { readonly signal: AbortSignal }): Promise<readonly string[]>;
  close(): void;
}
