/**
 * A small API server on loopback for what the controller and the installer ask: objects with resource versions,
 * lists with selectors, watches of collections, server-side apply, TokenReviews. It knows no kinds and checks no schemas.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import type { ApiServer } from '../../src/kube/client/kube-client.ts';
import { HttpKubeClient } from '../../src/kube/client/kube-client.ts';

export interface StoredObject {
  apiVersion?: string;
  kind?: string;
  metadata: {
    name: string;
    namespace?: string;
    uid?: string;
    resourceVersion?: string;
    generation?: number;
    labels?: Record<string, string>;
    annotations?: Record<string, string>;
  };
  [field: string]: unknown;
}

export interface SeenRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly authorization: string | undefined;
}

interface Failure {
  readonly status: number;
  readonly reason?: string;
  readonly message?: string;
}

export class FakeKubeApi {
  /** By path, such as `/api/v1/namespaces/shop/configmaps/x`. */
  readonly objects = new Map<string, StoredObject>();
  readonly seen: SeenRequest[] = [];
  /** The status of a TokenReview. */
  review: (token: string, audiences: readonly string[]) => object = () => ({ authenticated: false });
  /** What to answer instead, if anything. */
  fail: (request: SeenRequest) => Failure | undefined = () => undefined;
  readonly #server: Server;
  readonly #watches = new Set<(path: string, type: string, object: StoredObject) => void>();
  #version = 100;

  private constructor() {
    this.#server = createServer((request, response) => void this.#serve(request, response));
  }

  static async start(): Promise<FakeKubeApi> {
    const api = new FakeKubeApi();
    await once(api.#server.listen(0, '127.0.0.1'), 'listening');
    return api;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  get access(): ApiServer {
    const { port } = this.#server.address() as AddressInfo;
    return {
      server: new URL(`http://127.0.0.1:${port}`),
      current: async () => ({ tls: {}, headers: { authorization: 'Bearer mine' }, proxyAgent: undefined }),
      renew: () => undefined,
    };
  }

  client(): HttpKubeClient {
    return new HttpKubeClient(this.access, { deadlineMs: 20_000 });
  }

  put(
    path: string,
    object: Omit<StoredObject, 'metadata'> & { metadata?: Partial<StoredObject['metadata']> },
  ): void {
    const [, namespace] = /\/namespaces\/([^/]+)\/[^/]+\/[^/]+$/.exec(path) ?? [];
    const name = path.split('/').at(-1) ?? '';
    const place = namespace === undefined ? { name } : { name, namespace };
    this.#store(path, { ...object, metadata: { ...place, ...object.metadata } });
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const url = new URL(request.url ?? '/', 'http://api');
    const seen = {
      method: request.method ?? '',
      path: url.pathname,
      query: url.searchParams,
      authorization: request.headers.authorization,
    };
    this.seen.push(seen);
    const text = Buffer.concat(chunks).toString();
    const body = text === '' ? undefined : (JSON.parse(text) as StoredObject);
    const contentType = request.headers['content-type'] ?? '';
    const failure = this.fail(seen);
    const isWatch = url.searchParams.has('watch') && !url.searchParams.has('sendInitialEvents');
    if (failure === undefined && isWatch) return this.#watch(seen, response);
    const [status, answer] =
      failure === undefined ? this.#answer(seen, contentType, body) : refuse(failure.status, failure);
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
  }

  /** What is stored from now on: callers list first. */
  #watch({ path, query }: SeenRequest, response: ServerResponse): void {
    const tell = (at: string, type: string, object: StoredObject): void => {
      if (isIn(path, at) && matches(object, query)) response.write(`${JSON.stringify({ type, object })}\n`);
    };
    this.#watches.add(tell);
    response.on('close', () => this.#watches.delete(tell));
    response.writeHead(200, { 'content-type': 'application/json' }).flushHeaders();
  }

  #answer({ method, path, query }: SeenRequest, contentType: string, body?: StoredObject): [number, unknown] {
    if (query.has('sendInitialEvents'))
      return refuse(400, { reason: 'BadRequest', message: 'not streamed here' });
    // The status is a part of its object, with rights of its own.
    const place = path.replace(/\/status$/, '');
    const known = this.objects.get(place);
    switch (method) {
      case 'POST':
        return path.endsWith('/tokenreviews') ? this.#reviewed(body) : this.#create(path, body);
      case 'PUT':
        return this.#replace(path, known, body);
      case 'PATCH':
        return this.#patch(place, known, { contentType, query, body });
      case 'DELETE':
        return this.objects.delete(path) ? [200, { kind: 'Status' }] : refuse(404, { reason: 'NotFound' });
      default:
        return this.#read(path, query, known);
    }
  }

  #read(path: string, query: URLSearchParams, known: StoredObject | undefined): [number, unknown] {
    if (known !== undefined) return [200, known];
    const isCollection = /^\/apis?\/(?:[^/]+\/)?v\d\w*\/(?:namespaces\/[^/]+\/)?[a-z]+$/.test(path);
    if (!isCollection) return refuse(404, { reason: 'NotFound', message: `${path} not found` });
    const found = [...this.objects].filter(([at, object]) => isIn(path, at) && matches(object, query));
    const from = Number(query.get('continue') ?? 0);
    const limit = Number(query.get('limit') ?? found.length);
    const items = found.slice(from, from + limit).map(([, object]) => object);
    const more = from + limit < found.length ? { continue: String(from + limit) } : {};
    return [200, { kind: 'List', metadata: { resourceVersion: String(this.#version), ...more }, items }];
  }

  #reviewed(body: StoredObject | undefined): [number, unknown] {
    const spec = body?.['spec'] as { token: string; audiences: readonly string[] };
    return [201, { ...body, status: this.review(spec.token, spec.audiences) }];
  }

  #create(collection: string, body: StoredObject | undefined): [number, unknown] {
    if (body === undefined) return refuse(400, {});
    const path = `${collection}/${body.metadata.name}`;
    if (this.objects.has(path)) return refuse(409, { reason: 'AlreadyExists', message: 'already exists' });
    return [201, this.#store(path, body)];
  }

  #replace(path: string, known: StoredObject | undefined, body: StoredObject | undefined): [number, unknown] {
    if (known === undefined || body === undefined) return refuse(404, { reason: 'NotFound' });
    const { resourceVersion } = body.metadata;
    if (resourceVersion !== undefined && resourceVersion !== known.metadata.resourceVersion) {
      return refuse(409, { reason: 'Conflict', message: 'the object has been modified' });
    }
    return [200, this.#store(path, body)];
  }

  #patch(
    path: string,
    known: StoredObject | undefined,
    {
      contentType,
      query,
      body,
    }: { contentType: string; query: URLSearchParams; body: StoredObject | undefined },
  ): [number, unknown] {
    const applied = contentType.startsWith('application/apply-patch');
    if (body === undefined || (known === undefined && !applied)) return refuse(404, { reason: 'NotFound' });
    const { uid, resourceVersion } = body.metadata ?? {};
    const isOther =
      (uid !== undefined && uid !== known?.metadata.uid) ||
      (resourceVersion !== undefined && resourceVersion !== known?.metadata.resourceVersion);
    if (isOther && !applied)
      return refuse(409, { reason: 'Conflict', message: 'the object has been modified' });
    const merged = merge(known ?? {}, body) as StoredObject;
    if (query.get('dryRun') === 'All') return [200, merged];
    return [200, this.#store(path, merged)];
  }

  #store(path: string, object: StoredObject): StoredObject {
    this.#version += 1;
    const uid = object.metadata.uid ?? `uid-${path.split('/').at(-1)}`;
    const stored = {
      ...object,
      metadata: { ...object.metadata, uid, resourceVersion: String(this.#version) },
    };
    const type = this.objects.has(path) ? 'MODIFIED' : 'ADDED';
    this.objects.set(path, stored);
    for (const tell of this.#watches) tell(path, type, stored);
    return stored;
  }
}

const refuse = (status: number, { reason, message }: Partial<Failure>): [number, unknown] => [
  status,
  { kind: 'Status', status: 'Failure', reason, message, code: status },
];

/** Whether an object is of a collection, or of the collection over all namespaces. */
function isIn(collection: string, path: string): boolean {
  const own = path.slice(0, path.lastIndexOf('/'));
  return own === collection || own.replace(/\/namespaces\/[^/]+\//, '/') === collection;
}

function matches(object: StoredObject, query: URLSearchParams): boolean {
  const terms = (name: string): [string, string][] =>
    (query.get(name) ?? '')
      .split(',')
      .filter(Boolean)
      .map((term) => term.split('=') as [string, string]);
  return (
    terms('labelSelector').every(([label, value]) => object.metadata.labels?.[label] === value) &&
    terms('fieldSelector').every(([field, value]) =>
      field.endsWith('!')
        ? (fieldOf(object, field.slice(0, -1)) ?? '') !== value
        : fieldOf(object, field) === value,
    )
  );
}

const fieldOf = (object: unknown, path: string): unknown =>
  path
    .split('.')
    .reduce<unknown>((value, key) => (value as Record<string, unknown> | undefined)?.[key], object);

/** RFC 7396; near enough to server-side apply for objects without lists that are merged by key. */
function merge(known: unknown, patch: unknown): unknown {
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return patch;
  const result: Record<string, unknown> = { ...(known as object | undefined) };
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else result[key] = merge(result[key], value);
  }
  return result;
}
