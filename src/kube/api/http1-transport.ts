/** One kept-alive connection per watch: for servers, and proxies before them, that do not speak HTTP/2. */
import { Agent as HttpAgent, type ClientRequest, request as requestHttp } from 'node:http';
import { Agent as HttpsAgent, request as requestHttps } from 'node:https';
import type { ApiAccess } from '../client/kube-client.ts';
import type { ApiRequest, ApiResponse, Transport } from './transport.ts';

/** The kernel asks a quiet peer whether it is there after this. */
const tcpKeepAliveMs = 30_000;
const pool = { keepAlive: true, keepAliveMsecs: tcpKeepAliveMs, maxSockets: 16 } as const;

export class Http1Transport implements Transport {
  isUsable = true;
  readonly #server: URL;
  readonly #agent: HttpAgent;
  /** A proxy's agent is its maker's to close. */
  readonly #isOwnAgent: boolean;

  constructor(server: URL, tls: ApiAccess['tls'], proxyAgent: HttpAgent | undefined) {
    this.#server = server;
    this.#isOwnAgent = proxyAgent === undefined;
    this.#agent =
      proxyAgent ?? (server.protocol === 'http:' ? new HttpAgent(pool) : new HttpsAgent({ ...pool, ...tls }));
  }

  get({ path, headers, signal }: ApiRequest): Promise<ApiResponse> {
    const send = this.#server.protocol === 'http:' ? requestHttp : requestHttps;
    return new Promise((resolve, reject) => {
      const request: ClientRequest = send(new URL(path, this.#server), {
        agent: this.#agent,
        headers,
        signal,
      });
      request.on('error', reject);
      request.once('response', (response) => {
        // Whoever reads the body hears of it too; nobody reads any more after an abort.
        response.on('error', () => {});
        const { statusCode: status = 0, headers: head } = response;
        resolve({
          status,
          retryAfter: head['retry-after'],
          body: response,
          isComplete: () => response.complete,
        });
      });
      request.end();
    });
  }

  close(): void {
    this.isUsable = false;
    if (this.#isOwnAgent) this.#agent.destroy();
  }
}
