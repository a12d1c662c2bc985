/** The admin API as a table: method and path to a call of `AdminApi`, and the document around its answer. */
import { asMeshError, type ErrorCode, MeshError } from '../base/errors.ts';
import { type AdminApi, adminApiVersion, type DocumentHead, logLevels } from './admin-api.ts';
import { parseConnectionsQuery, parseExplanationQuery } from './admin-query.ts';

export interface AdminRequest {
  readonly method: string;
  /** Path and query. */
  readonly target: string;
  readonly body: () => Promise<string>;
}

export interface AdminAnswer {
  readonly status: number;
  readonly document: object;
}

export interface AdminIdentity {
  readonly node: string;
  readonly now: () => number;
}

type Route = (request: { readonly url: URL; readonly body: () => Promise<string> }) => Promise<AdminAnswer>;

/** Answers every request; what goes wrong becomes an `Error` document. */
export function adminRouter(
  api: AdminApi,
  identity: AdminIdentity,
): (request: AdminRequest) => Promise<AdminAnswer> {
  const routes = routeTable(api, identity);
  return async ({ method, target, body }) => {
    try {
      const url = new URL(target, 'http://admin');
      return await find(routes, method, url.pathname)({ url, body });
    } catch (thrown) {
      return errorAnswer(identity, asMeshError(thrown));
    }
  };
}

function routeTable(api: AdminApi, identity: AdminIdentity): ReadonlyMap<string, Route> {
  const wrap = (kind: string, body: object, status = 200): AdminAnswer => ({
    status,
    document: { ...head(identity, kind), ...body },
  });
  const list =
    (kind: string, read: () => readonly object[] | Promise<readonly object[]>): Route =>
    async () =>
      wrap(kind, { items: await read() });
  return new Map<string, Route>([
    ['GET /v1/status', async () => wrap('Status', await api.status())],
    ['GET /v1/workloads', list('WorkloadList', () => api.workloads())],
    ['GET /v1/services', list('ServiceList', () => api.services())],
    ['GET /v1/certs', list('CertificateList', () => api.certificates())],
    ['GET /v1/policies', list('PolicyList', () => api.policies())],
    [
      'GET /v1/pairs',
      async ({ url }) =>
        wrap('PairList', { items: await api.pairs(url.searchParams.get('namespace') ?? undefined) }),
    ],
    [
      'PUT /v1/policies/rehearsal',
      async ({ url, body }) =>
        wrap(
          'PolicyRehearsal',
          await api.rehearse({
            objects: await body(),
            prune: url.searchParams.get('prune') === 'true',
            namespace: url.searchParams.get('namespace') ?? undefined,
          }),
        ),
    ],
    [
      'PUT /v1/policies/lint',
      async ({ body }) => wrap('PolicyFindingList', { items: await api.lint(await body()) }),
    ],
    [
      'GET /v1/connections',
      async ({ url }) =>
        wrap('ConnectionList', await api.connections(parseConnectionsQuery(url.searchParams))),
    ],
    [
      'GET /v1/explain',
      async ({ url }) => wrap('Explanation', await api.explain(parseExplanationQuery(url.searchParams))),
    ],
    ['GET /v1/enrolment/*', async ({ url }) => await enrolment(api, url, wrap)],
    ['GET /config_dump', async () => ({ status: 200, document: await api.configDump() })],
    ['PUT /v1/log-level', async ({ body }) => wrap('LogLevel', setLogLevel(api, await body()))],
  ]);
}

function find(routes: ReadonlyMap<string, Route>, method: string, path: string): Route {
  const exact = routes.get(`${method} ${path}`);
  const below = routes.get(`${method} ${path.replace(/\/[^/]+$/, '/*')}`);
  const route = exact ?? below;
  if (route !== undefined) return route;
  const known = [...routes.keys()].join(', ');
  throw new MeshError('NOT_FOUND', `there is no ${method} ${path}`, { hint: `there are: ${known}` });
}

async function enrolment(
  api: AdminApi,
  url: URL,
  wrap: (kind: string, body: object, status?: number) => AdminAnswer,
): Promise<AdminAnswer> {
  const body = await api.enrolment(decodeURIComponent(url.pathname.slice('/v1/enrolment/'.length)));
  return wrap('Enrolment', body, body.enrolled ? 200 : 404);
}

function setLogLevel(api: AdminApi, body: string): object {
  const wanted = levelIn(body);
  const level = logLevels.find((known) => known === wanted);
  if (level === undefined) {
    throw new MeshError('INVALID_ARGUMENT', 'the body does not name a log level', {
      hint: `send {"level":"debug"}; levels are ${logLevels.join(', ')}`,
    });
  }
  api.setLogLevel(level);
  return { level };
}

function levelIn(body: string): unknown {
  try {
    const parsed: unknown = JSON.parse(body);
    return typeof parsed === 'object' && parsed !== null && 'level' in parsed ? parsed.level : undefined;
  } catch {
    return undefined;
  }
}

const head = ({ node, now }: AdminIdentity, kind: string): DocumentHead<string> => ({
  apiVersion: adminApiVersion,
  kind,
  node,
  time: new Date(now()).toISOString(),
});

/** Also used before there is a request to route: for peers that may not ask at all. */
export function errorAnswer(identity: AdminIdentity, error: MeshError): AdminAnswer {
  const { code, message, hint } = error;
  return {
    status: statuses[code] ?? 500,
    document: { ...head(identity, 'Error'), code, message, hint: hint ?? null },
  };
}

const statuses: Readonly<Partial<Record<ErrorCode, number>>> = {
  INVALID_ARGUMENT: 400,
  PERMISSION: 403,
  NOT_FOUND: 404,
  UNAVAILABLE: 503,
  TIMEOUT: 504,
};
