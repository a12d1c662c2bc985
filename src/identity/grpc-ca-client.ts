/**
 * The certificate authority over gRPC and TLS 1.3: `istio.v1.auth.IstioCertificateService`, ours or Istio's.
 * How it is reached and what refusals mean: `src/rpc/token-channel.ts`.
 */
import { type IstioCertificateRequest, IstioCertificateServiceClient } from '../rpc/generated/ca.ts';
import { TokenChannel, type TokenChannelOptions } from '../rpc/token-channel.ts';
import type { CaClient, SigningRequest } from './ca-client.ts';

export class GrpcCaClient implements CaClient {
  readonly #channel: TokenChannel<IstioCertificateServiceClient>;

  constructor(options: TokenChannelOptions) {
    this.#channel = new TokenChannel(options, (...args) => new IstioCertificateServiceClient(...args));
  }

  async sign(
    request: SigningRequest,
    { signal }: { readonly signal: AbortSignal },
  ): Promise<readonly string[]> {
    const message = toMessage(request);
    const { certChain } = await this.#channel.call(
      (client) => client.createCertificate.bind(client),
      message,
      signal,
    );
    return certChain;
  }

  close(): void {
    this.#channel.close();
  }
}

const toMessage = (request: SigningRequest): IstioCertificateRequest => ({
  csr: request.csr,
  validityDuration: BigInt(request.validitySeconds),
  metadata: { fields: new Map([['ImpersonatedIdentity', { stringValue: request.identity }]]) },
});
