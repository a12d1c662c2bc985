/**
 * The way to the API server: one connection, made when it is needed, kept while it works, made anew when it breaks
 * or when the certificates that it was made with were replaced. Tokens go with each request.
 */
import { isIP } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import type { Clock } from '../../base/clock.ts';
import type { ApiAccess, ApiServer } from '../client/kube-client.ts';
import { ApiFailure } from './failure.ts';
import { Http1Transport } from './http1-transport.ts';
import { Http2Transport } from './http2-transport.ts';
import type { ApiResponse, Transport } from './transport.ts';

const connectTimeoutMs = 10_000;

type Tls = ApiAccess['tls'];

interface Route {
  readonly tls: Tls;
  readonly transport: Promise<Transport>;
}

export interface GetRequest {
  /** Below the server's own path, with its query. */
  readonly path: string;
  /** Media type wanted. */
  readonly accept: string;
  readonly signal: AbortSignal;
}

export class ApiConnection {
  readonly #clock: Clock;
  readonly #server: ApiServer;
  readonly #headers: Readonly<Record<string, string>>;
  #route: Route | undefined;
  #isClosed = false;

  constructor(clock: Clock, server: ApiServer, userAgent: string) {
    this.#clock = clock;
    this.#server = server;
    this.#headers = { 'user-agent': userAgent };
  }

  get server(): string {
    return this.#server.server.href.replace(/\/$/, '');
  }

  /** Resolves with the head of the answer, whatever its status. @throws ApiFailure if there is none */
  async get({ path, accept, signal }: GetRequest): Promise<ApiResponse> {
    try {
      const access = await this.#server.current();
      const transport = await this.#transport(access);
      signal.throwIfAborted();
      const base = this.#server.server.pathname.replace(/\/$/, '');
      const headers = { ...this.#headers, ...access.headers, accept };
      return await transport.get({ path: `${base}${path}`, headers, signal });
    } catch (error) {
      if (error instanceof ApiFailure) throw error;
      const reason = error instanceof Error ? error.message : String(error);
      throw new ApiFailure('unavailable', `the API server ${this.server} cannot be reached: ${reason}`, {
        cause: error,
      });
    }
  }

  /** Reads the credentials' files again, after a 401. */
  renewCredentials(): void {
    this.#server.renew();
  }

  close(): void {
    this.#isClosed = true;
    this.#leave();
  }

  async #transport(access: ApiAccess): Promise<Transport> {
    if (this.#isClosed) throw new ApiFailure('unavailable', 'the connection was closed');
    const known = this.#route;
    if (known !== undefined && sameFiles(known.tls, access.tls)) {
      const transport = await known.transport.catch(() => undefined);
      if (transport?.isUsable === true) return transport;
    }
    // Somebody else may have replaced it meanwhile.
    if (this.#route === known) {
      this.#leave();
      this.#route = { tls: access.tls, transport: this.#connect(access) };
    }
    return this.#route?.transport ?? this.#transport(access);
  }

  #leave(): void {
    this.#route?.transport.then(
      (transport) => transport.close(),
      () => {},
    );
    this.#route = undefined;
  }

  async #connect({ tls, proxyAgent }: ApiAccess): Promise<Transport> {
    const { server } = this.#server;
    if (proxyAgent !== undefined || server.protocol === 'http:') {
      return new Http1Transport(server, tls, proxyAgent);
    }
    const socket = await connected(server, tls);
    if (socket.alpnProtocol === 'h2') return new Http2Transport(this.#clock, server, socket);
    socket.destroy();
    return new Http1Transport(server, tls, undefined);
  }
}

function connected(server: URL, { servername, ...files }: Tls): Promise<TLSSocket> {
  const host = server.hostname.replace(/^\[|\]$/g, '');
  const socket = connectTls({
    ...files,
    host,
    port: Number(server.port || 443),
    // An address is no server name; the certificate is then checked against the address.
    servername: servername ?? (isIP(host) === 0 ? host : ''),
    ALPNProtocols: ['h2', 'http/1.1'],
    timeout: connectTimeoutMs,
  });
  return new Promise((resolve, reject) => {
    socket.once('error', reject);
    socket.once('timeout', () => socket.destroy(new Error(`no answer in ${connectTimeoutMs / 1000} s`)));
    socket.once('secureConnect', () => {
      socket.setTimeout(0).removeAllListeners('timeout').removeAllListeners('error');
      socket.setNoDelay(true);
      resolve(socket);
    });
  });
}

const sameFiles = (a: Tls, b: Tls): boolean =>
  a.rejectUnauthorized === b.rejectUnauthorized &&
  a.servername === b.servername &&
  (['ca', 'cert', 'key'] as const).every((name) => sameBytes(a[name], b[name]));

/** Files are read again at every request; what is in them is the same mostly. */
const sameBytes = (a: unknown, b: unknown): boolean =>
  a === b || (Buffer.isBuffer(a) && Buffer.isBuffer(b) && a.equals(b));
