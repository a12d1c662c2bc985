/**
 * A small API server over real HTTP: lists in pages, watches with history and bookmarks, forgets, and fails in the
 * ways real ones do. Objects come from the test; versions are one counter, as in etcd.
 */
import { once } from 'node:events';
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createSecureServer } from 'node:http2';
import type { AddressInfo, Server, Socket } from 'node:net';
import { bookmarkAt, type FakeObject, keyOf, matches, refuse, seen, send } from './fake-api-objects.ts';
import { createTestCa } from './test-ca.ts';

/** What the next request of a verb meets instead of an answer, or in the middle of one. */
export type Fault =
  | {
      readonly type: 'status';
      readonly code: number;
      readonly retryAfter?: string;
      readonly message?: string;
    }
  | { readonly type: 'garbage' }
  | { readonly type: 'cut' }
  | { readonly type: 'oversized'; readonly bytes: number }
  | { readonly type: 'silence' };

interface Event {
  readonly type: string;
  readonly version: number;
  readonly object: FakeObject;
  /** As it was before, for selectors that it left. */
  readonly before: FakeObject | undefined;
}

interface Watch {
  readonly path: string;
  readonly selector: string;
  readonly metadataOnly: boolean;
  readonly response: ServerResponse;
  /** Highest version sent. */
  version: number;
}

export interface FakeServerOptions {
  /** TLS with HTTP/2, TLS with HTTP/1.1 alone, or plain HTTP. */
  readonly protocol?: 'h2' | 'https' | 'http';
  /** Whether a list may be streamed by a watch (Kubernetes 1.32 and newer). */
  readonly streamsLists?: boolean;
  /** Kinds that are not installed, by path. */
  readonly absent?: readonly string[];
}

/** Every path there is; a test names objects by it. */
export const apiPaths = {
  namespaces: '/api/v1/namespaces',
  pods: '/api/v1/pods',
  services: '/api/v1/services',
  slices: '/apis/discovery.k8s.io/v1/endpointslices',
  nodes: '/api/v1/nodes',
  policies: '/apis/security.istio.io/v1/authorizationpolicies',
  peerAuthentications: '/apis/security.istio.io/v1/peerauthentications',
  definitions: '/apis/apiextensions.k8s.io/v1/customresourcedefinitions',
} as const;

export class FakeApiServer {
  readonly requests: {
    readonly verb: string;
    readonly path: string;
    readonly query: URLSearchParams;
    readonly authorization: string | undefined;
  }[] = [];
  connections = 0;
  streamsLists: boolean;
  readonly absent: Set<string>;
  /** Paths that nobody may read. */
  readonly forbidden = new Set<string>();
  readonly #faults: { readonly verb: 'list' | 'watch'; readonly fault: Fault }[] = [];
  readonly #objects = new Map<string, Map<string, FakeObject>>();
  #history: (Event & { readonly path: string })[] = [];
  #version = 100;
  /** Versions up to this one are forgotten. */
  #forgotten = 0;
  readonly #watches = new Set<Watch>();
  readonly #sockets = new Set<Socket>();
  readonly #server: Server;
  readonly #scheme: string;
  readonly caPem: string;

  private constructor(server: Server, scheme: string, caPem: string, options: FakeServerOptions) {
    this.#server = server;
    this.#scheme = scheme;
    this.caPem = caPem;
    this.streamsLists = options.streamsLists ?? true;
    this.absent = new Set(options.absent);
  }

  static async start(options: FakeServerOptions = {}): Promise<FakeApiServer> {
    const protocol = options.protocol ?? 'h2';
    const ca = await createTestCa('api');
    const { certificateChain: cert, privateKey: key } = await ca.issue({ uris: [], dns: ['localhost'] });
    let self: FakeApiServer | undefined;
    const handle = (request: IncomingMessage, response: ServerResponse): void =>
      self?.handle(request, response);
    const alpn = protocol === 'https' ? ['http/1.1'] : ['h2', 'http/1.1'];
    const server: Server =
      protocol === 'http'
        ? createHttpServer(handle)
        : createSecureServer({ cert, key, allowHTTP1: true, ALPNProtocols: alpn }, (request, response) =>
            // Node's HTTP/2 answers to the names of its HTTP/1.
            handle(request as unknown as IncomingMessage, response as unknown as ServerResponse),
          );
    self = new FakeApiServer(server, protocol === 'http' ? 'http' : 'https', ca.root, options);
    self.#track();
    await self.listen(0);
    return self;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `${this.#scheme}://localhost:${this.port}`;
  }

  /** A kubeconfig for it. */
  kubeconfig(user: Readonly<Record<string, unknown>> = { token: 'secret' }): string {
    const tls =
      this.#scheme === 'http'
        ? { 'insecure-skip-tls-verify': true }
        : { 'certificate-authority-data': Buffer.from(this.caPem).toString('base64') };
    return JSON.stringify({
      clusters: [{ name: 'c', cluster: { server: this.url, ...tls } }],
      users: [{ name: 'u', user }],
      contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
      'current-context': 'x',
    });
  }

  async listen(port: number): Promise<void> {
    this.#server.listen(port, 'localhost');
    await once(this.#server, 'listening');
  }

  /** Ends every connection and takes no more. */
  async close(): Promise<void> {
    this.#watches.clear();
    const closed = once(this.#server, 'close');
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  get watching(): number {
    return this.#watches.size;
  }

  requestsFor(path: string, verb?: 'list' | 'watch'): FakeApiServer['requests'] {
    return this.requests.filter(
      (request) => request.path === path && (verb ?? request.verb) === request.verb,
    );
  }

  objectsAt(path: string): readonly FakeObject[] {
    return [...(this.#objects.get(path)?.values() ?? [])];
  }

  /** Creates or updates. */
  put(path: string, object: FakeObject): void {
    const key = keyOf(object);
    const before = this.#objects.get(path)?.get(key);
    const version = ++this.#version;
    const stored = { ...object, metadata: { ...object.metadata, resourceVersion: String(version) } };
    this.#at(path).set(key, stored);
    this.#happened(path, {
      type: before === undefined ? 'ADDED' : 'MODIFIED',
      version,
      object: stored,
      before,
    });
  }

  remove(path: string, name: string, namespace?: string): void {
    const key = keyOf({ metadata: { name, ...(namespace === undefined ? {} : { namespace }) } });
    const before = this.#objects.get(path)?.get(key);
    if (before === undefined) return;
    this.#at(path).delete(key);
    const version = ++this.#version;
    const object = { ...before, metadata: { ...before.metadata, resourceVersion: String(version) } };
    this.#happened(path, { type: 'DELETED', version, object, before });
  }

  /** Sends every watch a bookmark. */
  bookmark(): void {
    for (const watch of this.#watches)
      this.#send(watch, 'BOOKMARK', bookmarkAt(this.#version), this.#version);
  }

  /** Forgets history: who asks for an old version gets 410. */
  forget(): void {
    this.#forgotten = this.#version;
    this.#history = [];
  }

  /** As after a restore from an old backup: objects and versions are those of before. */
  restore(): { readonly back: () => void } {
    const objects = new Map([...this.#objects].map(([path, all]) => [path, new Map(all)]));
    const version = this.#version;
    return {
      back: () => {
        for (const [path, all] of this.#objects) {
          all.clear();
          for (const [key, object] of objects.get(path) ?? []) all.set(key, object);
        }
        this.#version = version;
        this.#forgotten = 0;
        this.#history = [];
        this.cutConnections();
      },
    };
  }

  fail(verb: 'list' | 'watch', ...faults: readonly Fault[]): void {
    this.#faults.push(...faults.map((fault) => ({ verb, fault })));
  }

  /** Ends watches in the middle of an event. */
  cutWatches(): void {
    for (const { response } of this.#watches) {
      response.write('{"type":"ADDED","object":{"metadata":{"na', () => response.end());
    }
    this.#watches.clear();
  }

  /** Tells watches that their version is too old, as an event. */
  expireWatches(): void {
    for (const watch of this.#watches) {
      const status = { kind: 'Status', code: 410, reason: 'Expired', message: 'too old resource version' };
      watch.response.end(`${JSON.stringify({ type: 'ERROR', object: status })}\n`);
    }
    this.#watches.clear();
  }

  cutConnections(): void {
    this.#watches.clear();
    for (const socket of this.#sockets) socket.destroy();
  }

  handle(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? '/', this.url);
    const query = url.searchParams;
    const verb = query.get('watch') === 'true' ? 'watch' : 'list';
    const path = url.pathname;
    this.requests.push({ verb, path, query, authorization: request.headers.authorization });
    response.on('error', () => {});
    const planned = this.#faults.findIndex((fault) => fault.verb === verb);
    const [taken] = planned < 0 ? [] : this.#faults.splice(planned, 1);
    if (taken !== undefined && this.#meets(taken.fault, verb, response)) return;
    if (this.absent.has(path) || !Object.values<string>(apiPaths).includes(path)) {
      return refuse(response, 404, 'the server could not find the requested resource');
    }
    if (this.forbidden.has(path)) return refuse(response, 403, `${path} is forbidden`);
    const metadataOnly = String(request.headers.accept).includes('PartialObjectMetadata');
    if (verb === 'list') this.#list(path, query, metadataOnly, response);
    else this.#watch(path, query, metadataOnly, response);
  }

  #track(): void {
    this.#server.on('connection', (socket: Socket) => {
      this.connections++;
      this.#sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => this.#sockets.delete(socket));
    });
  }

  #at(path: string): Map<string, FakeObject> {
    const known = this.#objects.get(path);
    if (known !== undefined) return known;
    const made = new Map<string, FakeObject>();
    this.#objects.set(path, made);
    return made;
  }

  #happened(path: string, event: Event): void {
    this.#history.push({ ...event, path });
    for (const watch of this.#watches) if (watch.path === path) this.#show(watch, event);
  }

  /** An event as a watch with a selector sees it: what no longer matches is gone for it. */
  #show(watch: Watch, { type, version, object, before }: Event): void {
    const was = before !== undefined && matches(before, watch.selector);
    const is = type !== 'DELETED' && matches(object, watch.selector);
    if (!was && !is) return;
    this.#send(watch, was && is ? 'MODIFIED' : is ? 'ADDED' : 'DELETED', object, version);
  }

  #send(watch: Watch, type: string, object: FakeObject, version: number): void {
    if (version < watch.version && type !== 'BOOKMARK') return;
    watch.version = version;
    watch.response.write(`${JSON.stringify({ type, object: seen(object, watch.metadataOnly) })}\n`);
  }

  /** True if the fault was the whole answer. */
  #meets(fault: Fault, verb: string, response: ServerResponse): boolean {
    switch (fault.type) {
      case 'status':
        if (fault.retryAfter !== undefined) response.setHeader('retry-after', fault.retryAfter);
        refuse(response, fault.code, fault.message ?? 'as the test wants it');
        return true;
      case 'garbage':
        response.end('<html>502 Bad Gateway</html>\n');
        return true;
      case 'cut':
        response.write('{"kind":"List","items":[{"meta', () => response.end());
        return true;
      case 'oversized':
        response.end(`{"type":"ADDED","object":"${'x'.repeat(fault.bytes)}"}\n`);
        return true;
      case 'silence':
        // The head of an answer, and then nothing.
        if (verb === 'watch') response.flushHeaders();
        return true;
    }
  }

  #list(path: string, query: URLSearchParams, metadataOnly: boolean, response: ServerResponse): void {
    const [version = String(this.#version), from = ''] = (query.get('continue') ?? '')
      .split('|')
      .filter(Boolean);
    if (Number(version) < this.#forgotten) return refuse(response, 410, 'the continue token is too old');
    const selector = query.get('fieldSelector') ?? '';
    const limit = Number(query.get('limit') ?? Infinity);
    const rest = [...this.#at(path)]
      .filter(([, object]) => matches(object, selector))
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .filter(([key]) => key > from);
    const items = rest.slice(0, limit);
    const next = rest.length > limit ? { continue: `${version}|${items.at(-1)?.[0]}` } : {};
    const listed = items.map(([, object]) => seen(object, metadataOnly));
    send(response, { kind: 'List', metadata: { resourceVersion: version, ...next }, items: listed });
  }

  #watch(path: string, query: URLSearchParams, metadataOnly: boolean, response: ServerResponse): void {
    const selector = query.get('fieldSelector') ?? '';
    const streams = query.get('sendInitialEvents') === 'true';
    if (streams && !this.streamsLists) return refuse(response, 422, 'sendInitialEvents is forbidden');
    const from = Number(query.get('resourceVersion') ?? 0);
    if (!streams && from > 0 && from < this.#forgotten)
      return refuse(response, 410, 'too old resource version');
    response.writeHead(200, { 'content-type': 'application/json' });
    const watch: Watch = { path, selector, metadataOnly, response, version: from };
    if (streams || from === 0) {
      for (const object of this.objectsAt(path)) {
        if (matches(object, selector)) this.#send({ ...watch, version: 0 }, 'ADDED', object, this.#version);
      }
    }
    if (streams) {
      const end = bookmarkAt(this.#version, { 'k8s.io/initial-events-end': 'true' });
      this.#send(watch, 'BOOKMARK', end, this.#version);
    } else {
      response.flushHeaders();
    }
    if (from > 0) {
      const missed = this.#history.filter((event) => event.path === path && event.version > from);
      for (const event of missed) this.#show(watch, event);
    }
    this.#watches.add(watch);
    response.on('close', () => this.#watches.delete(watch));
  }
}
