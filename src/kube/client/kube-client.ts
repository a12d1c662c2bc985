/**
 * Single requests to the API server: read, write, apply, delete, list in pages. Connections are kept and shared (the
 * library would open one for each request). Watching is another matter: see `src/kube/api`.
 */
import { Agent as HttpAgent, type IncomingMessage, request as httpRequest } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest, type RequestOptions } from 'node:https';
import { MeshError } from '../../base/errors.ts';
import { type ApiCall, apiError, noAnswer } from './api-error.ts';

/** What to present to an API server now. */
export interface ApiAccess {
  readonly tls: Pick<RequestOptions, 'ca' | 'cert' | 'key' | 'servername' | 'rejectUnauthorized'>;
  readonly headers: Readonly<Record<string, string>>;
  /** Set where the way leads through a proxy. */
  readonly proxyAgent: HttpsAgent | undefined;
}

/** An API server, and who to be for it; `kube-config.ts` makes it from a kubeconfig or a pod's own files. */
export interface ApiServer {
  /** Perhaps with a path in front of everything. */
  readonly server: URL;
  /** Asked at every request: tokens and certificates change. */
  current(): Promise<ApiAccess>;
  /** What was presented is no longer accepted: everything is to be read again. */
  renew(): void;
}

export interface KubeRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** From `pathOf`. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string | undefined>>;
  readonly body?: unknown;
  readonly contentType?: string;
}

/** What most of the project needs of the API server; tests may fake it, but mostly run the real one against HTTP. */
export interface KubeClient {
  /** The answer, parsed. @throws MeshError by `api-refusal.ts` */
  request(request: KubeRequest): Promise<unknown>;
}

export interface HttpKubeClientOptions {
  /** For connecting and for the whole answer; default 10 s. */
  readonly deadlineMs?: number;
  /** Ends requests under way. */
  readonly signal?: AbortSignal;
  /** Named to the API server, for its audit log. */
  readonly userAgent?: string;
}

const defaultDeadlineMs = 10_000;
/** One page of a list; more means that something else answers. */
const maxAnswerBytes = 64 * 1024 * 1024;
const connections = { keepAlive: true, maxSockets: 16 };

const verbs = { GET: 'get', POST: 'create', PUT: 'update', PATCH: 'patch', DELETE: 'delete' } as const;

export class HttpKubeClient implements KubeClient {
  readonly #server: ApiServer;
  readonly #options: HttpKubeClientOptions;
  readonly #agent: HttpAgent;

  constructor(server: ApiServer, options: HttpKubeClientOptions = {}) {
    this.#server = server;
    this.#options = options;
    this.#agent = isPlain(server.server) ? new HttpAgent(connections) : new HttpsAgent(connections);
  }

  async request(request: KubeRequest): Promise<unknown> {
    const call: ApiCall = { verb: verbs[request.method], path: request.path };
    const deadlineMs = this.#options.deadlineMs ?? defaultDeadlineMs;
    const deadline = AbortSignal.timeout(deadlineMs);
    const signals = [deadline, ...(this.#options.signal === undefined ? [] : [this.#options.signal])];
    try {
      const response = await this.#send(request, AbortSignal.any(signals));
      const body = parse(await readAll(response));
      const status = response.statusCode ?? 0;
      if (status >= 200 && status < 300) return body;
      if (status === 401) this.#server.renew();
      throw apiError(call, status, body);
    } catch (thrown) {
      if (thrown instanceof MeshError) throw thrown;
      throw noAnswer(call, this.#server.server.host, thrown, deadline.aborted ? deadlineMs : undefined);
    }
  }

  /** Lets go of idle connections. */
  close(): void {
    this.#agent.destroy();
  }

  async #send(request: KubeRequest, signal: AbortSignal): Promise<IncomingMessage> {
    const url = urlOf(this.#server.server, request);
    const { tls, headers, proxyAgent } = await this.#server.current();
    const body = request.body === undefined ? undefined : Buffer.from(JSON.stringify(request.body));
    const options = {
      ...tls,
      method: request.method,
      agent: proxyAgent ?? this.#agent,
      headers: { ...headers, ...this.#headers(request, body) },
      signal,
    };
    return await new Promise<IncomingMessage>((resolve, reject) => {
      const sending = isPlain(url) ? httpRequest(url, options, resolve) : httpsRequest(url, options, resolve);
      sending.once('error', reject);
      sending.end(body);
    });
  }

  #headers({ contentType }: KubeRequest, body: Buffer | undefined): Record<string, string | number> {
    return {
      accept: 'application/json',
      'user-agent': this.#options.userAgent ?? 'mesh-ebpf',
      ...(body === undefined
        ? {}
        : { 'content-type': contentType ?? 'application/json', 'content-length': body.length }),
    };
  }
}

const isPlain = ({ protocol }: URL): boolean => protocol === 'http:';

function urlOf(server: URL, { path, query = {} }: KubeRequest): URL {
  const url = new URL(server.href.replace(/\/$/, '') + path);
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined) url.searchParams.set(name, value);
  }
  return url;
}

async function readAll(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response) {
    const buffer = chunk as Buffer;
    bytes += buffer.length;
    if (bytes > maxAnswerBytes) throw new Error(`the answer has more than ${maxAnswerBytes} bytes`);
    chunks.push(buffer);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** What is not JSON comes from something in between, and is shown as it is. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return { message: text.slice(0, 200) };
  }
}
