/**
 * Calls to the controller over gRPC and TLS 1.3, with a bearer token. Token and trust bundle are files that may change at
 * any time. A call that found the other end away drops its connection, so that the next call dials afresh; pacing is the
 * caller's.
 */
import {
  type ChannelCredentials,
  type Client,
  type ClientOptions,
  type ClientUnaryCall,
  credentials,
  Metadata,
  type ServiceError,
  status,
} from '@grpc/grpc-js';
import { isIP } from 'node:net';
import { checkServerIdentity, createSecureContext } from 'node:tls';
import { MeshError } from '../base/errors.ts';
import { HotFile } from './hot-file.ts';

export interface TokenChannelOptions {
  /** `HOST:PORT` or `[IPV6]:PORT`. */
  readonly address: string;
  /** PEM file with the roots the other end's own server certificate must chain to. */
  readonly rootsFile: string;
  /** File with the bearer token and nothing else. */
  readonly tokenFile: string;
  /** The name in the server's certificate, where it is not HOST. */
  readonly serverName?: string;
  /** Sent as `clusterid`; Istio wants it. */
  readonly clusterId?: string;
  readonly deadlineMs?: number;
}

/** A unary method of a generated client. */
export type Method<Request, Reply> = (
  request: Request,
  metadata: Metadata,
  options: { readonly deadline: number },
  callback: (error: ServiceError | null, reply: Reply) => void,
) => ClientUnaryCall;

type MakeClient<C> = (address: string, channel: ChannelCredentials, options: ClientOptions) => C;

const defaultDeadlineMs = 10_000;
/** A chain with several roots is a few KiB. */
const maxResponseBytes = 1024 * 1024;

export class TokenChannel<C extends Client> {
  readonly #options: TokenChannelOptions;
  readonly #make: MakeClient<C>;
  readonly #roots: HotFile;
  readonly #token: HotFile;
  #connection: { readonly roots: string; readonly client: C } | undefined;

  /** @throws MeshError INVALID_ARGUMENT for an address that is none */
  constructor(options: TokenChannelOptions, make: MakeClient<C>) {
    hostOf(options.address);
    this.#options = options;
    this.#make = make;
    this.#roots = new HotFile(options.rootsFile, 'roots of the certificate authority');
    this.#token = new HotFile(options.tokenFile, 'token for the certificate authority');
  }

  /** @throws MeshError CA_REFUSED, UNSUPPORTED, UNAVAILABLE or TIMEOUT */
  async call<Request, Reply>(
    method: (client: C) => Method<Request, Reply>,
    request: Request,
    signal: AbortSignal,
  ): Promise<Reply> {
    const metadata = this.#metadata();
    const client = this.#client();
    const deadline = Date.now() + (this.#options.deadlineMs ?? defaultDeadlineMs);
    try {
      return await unary(method(client), request, { metadata, deadline, signal });
    } catch (thrown) {
      const error = this.#describe(thrown as ServiceError);
      if (error.code !== 'CA_REFUSED' && !signal.aborted) this.#drop(client);
      throw error;
    }
  }

  close(): void {
    if (this.#connection !== undefined) this.#drop(this.#connection.client);
  }

  /** The open client, or a new one if there is none or the roots changed. */
  #client(): C {
    const roots = this.#roots.read();
    if (this.#connection?.roots === roots) return this.#connection.client;
    this.close();
    const client = this.#connect(roots);
    this.#connection = { roots, client };
    return client;
  }

  /** Calls under way on the client still finish. */
  #drop(client: C): void {
    client.close();
    if (this.#connection?.client === client) this.#connection = undefined;
  }

  #connect(roots: string): C {
    const { address, serverName } = this.#options;
    const context = createSecureContext({ ca: roots, minVersion: 'TLSv1.3' });
    const name = serverName ?? hostOf(address);
    const channel = credentials.createFromSecureContext(context, {
      checkServerIdentity: (_sni, certificate) => checkServerIdentity(name, certificate),
    });
    return this.#make(`dns:${address}`, channel, {
      'grpc.enable_http_proxy': 0,
      'grpc.enable_retries': 0,
      'grpc.service_config_disable_resolution': 1,
      'grpc.use_local_subchannel_pool': 1,
      'grpc.max_receive_message_length': maxResponseBytes,
      // SNI must not be an IP address (RFC 6066 §3); which name the certificate must have is checked above.
      'grpc.ssl_target_name_override': isIP(name) ? 'certificate-authority' : name,
      ...(serverName === undefined ? {} : { 'grpc.default_authority': serverName }),
    });
  }

  #metadata(): Metadata {
    const metadata = new Metadata();
    metadata.set('authorization', `Bearer ${this.#readToken()}`);
    if (this.#options.clusterId !== undefined) metadata.set('clusterid', this.#options.clusterId);
    return metadata;
  }

  /** Checked here, because the gRPC library quotes a value it cannot send: the token would be in the log. */
  #readToken(): string {
    const token = this.#token.read().trim();
    if (/^[\x21-\x7e]+$/.test(token)) return token;
    throw new MeshError(
      'UNAVAILABLE',
      `${this.#options.tokenFile} does not hold one token and nothing else`,
      {
        hint: 'make a join token for this node and put it into the file',
      },
    );
  }

  #unavailableHint(details: string): string {
    if (/not yet valid|expired/i.test(details)) return clockHint;
    return /certificate/i.test(details) ? `check ${this.#options.rootsFile}` : reachHint;
  }

  #describe(error: ServiceError): MeshError {
    const who = `the certificate authority at ${this.#options.address}`;
    const options = { cause: error, details: { grpcStatus: status[error.code] ?? String(error.code) } };
    switch (error.code) {
      case status.UNAUTHENTICATED:
      case status.PERMISSION_DENIED:
      case status.INVALID_ARGUMENT:
      case status.RESOURCE_EXHAUSTED:
        return new MeshError('CA_REFUSED', `${who} refused: ${error.details}`, options);
      case status.UNIMPLEMENTED:
        return new MeshError('UNSUPPORTED', `${who} does not know that: ${error.details}`, options);
      case status.DEADLINE_EXCEEDED:
        return new MeshError('TIMEOUT', `${who} did not answer in time`, { ...options, hint: reachHint });
      default:
        return new MeshError('UNAVAILABLE', `${who} cannot be used: ${reasonIn(error.details)}`, {
          ...options,
          hint: this.#unavailableHint(error.details),
        });
    }
  }
}

function unary<Request, Reply>(
  method: Method<Request, Reply>,
  request: Request,
  how: { readonly metadata: Metadata; readonly deadline: number; readonly signal: AbortSignal },
): Promise<Reply> {
  const { metadata, deadline, signal } = how;
  return new Promise((resolve, reject) => {
    const call = method(request, metadata, { deadline }, (error, reply) => {
      signal.removeEventListener('abort', abort);
      if (error) reject(error);
      else resolve(reply);
    });
    const abort = (): void => call.cancel();
    signal.addEventListener('abort', abort, { once: true });
    if (signal.aborted) abort();
  });
}

/** The library's own words for "could not connect", without them. */
const reasonIn = (details: string): string =>
  /^No connection established\. Last error: (?:Error: )?(.*?)\.? Resolution note: *$/.exec(details)?.[1] ??
  details;

const clockHint = 'compare the clocks of this node and of the controller (chronyc tracking)';
const reachHint = 'check that the controller runs and that this node reaches its address';

/** @throws MeshError INVALID_ARGUMENT unless `address` is `HOST:PORT`. */
export function hostOf(address: string): string {
  const match = /^(?:\[([^\]]+)\]|([^:[\]/]+)):\d{1,5}$/.exec(address);
  const host = match?.[1] ?? match?.[2];
  if (host !== undefined) return host;
  throw new MeshError('INVALID_ARGUMENT', `"${address}" is not the HOST:PORT of a certificate authority`);
}
