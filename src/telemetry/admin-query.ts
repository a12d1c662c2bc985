/** Parses the queries of `GET /v1/connections` and `GET /v1/explain`, and writes them: the server and the CLI share the spelling. */
import { MeshError } from '../base/errors.ts';
import { type ConnectionPath, connectionPaths } from '../model/connection.ts';
import type { ConnectionsQuery } from './admin-api.ts';
import type { ExplanationQuery } from './explanation-types.ts';

/** @throws MeshError INVALID_ARGUMENT for a parameter that is unknown or not valid. */
export function parseConnectionsQuery(parameters: URLSearchParams): ConnectionsQuery {
  const query: { -readonly [Name in keyof ConnectionsQuery]: ConnectionsQuery[Name] } = {};
  for (const [name, value] of parameters) {
    switch (name) {
      case 'namespace':
      case 'pod':
      case 'id':
        query[name] = value;
        break;
      case 'failed':
      case 'denied':
      case 'dryRunDenied':
        query[name] = parseFlag(name, value);
        break;
      case 'since':
      case 'after':
      case 'limit':
        query[name] = parseCount(name, value);
        break;
      case 'path':
        query.path = parsePath(value);
        break;
      case 'only':
        query.only = parsePart(value);
        break;
      default:
        throw unknownParameter(name);
    }
  }
  return query;
}

/** @throws MeshError INVALID_ARGUMENT for a parameter that is unknown, missing or longer than any name. */
export function parseExplanationQuery(parameters: URLSearchParams): ExplanationQuery {
  const given = new Map(parameters);
  for (const [name, value] of given) {
    if (!['from', 'to', 'namespace'].includes(name)) throw unknownParameter(name);
    if (value.length > maxNameLength) {
      throw new MeshError('INVALID_ARGUMENT', `${name} is longer than ${maxNameLength} characters`);
    }
  }
  const [from, to, namespace] = [given.get('from'), given.get('to'), given.get('namespace')];
  if (from === undefined || to === undefined) {
    throw new MeshError('INVALID_ARGUMENT', 'the query needs "from" and "to"');
  }
  return { from, to, ...(namespace === undefined ? {} : { namespace }) };
}

/** Of `GET /v1/pairs` and `PUT /v1/policies/rehearsal`. @throws MeshError INVALID_ARGUMENT for a parameter that is unknown or not valid. */
export function parseSeenQuery(parameters: URLSearchParams): {
  readonly namespace: string | undefined;
  readonly prune: boolean;
} {
  for (const [name] of parameters) if (name !== 'namespace' && name !== 'prune') throw unknownParameter(name);
  return {
    namespace: parameters.get('namespace') ?? undefined,
    prune: parseFlag('prune', parameters.get('prune') ?? 'false'),
  };
}

/** A SPIFFE ID and an address. */
const maxNameLength = 2200;

const unknownParameter = (name: string): MeshError =>
  new MeshError('INVALID_ARGUMENT', `there is no query parameter "${name}"`);

export const formatExplanationQuery = (query: ExplanationQuery): string => formatQuery(query);
export const formatConnectionsQuery = (query: ConnectionsQuery): string => formatQuery(query);

function formatQuery(query: ConnectionsQuery | ExplanationQuery): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== false) parameters.set(name, String(value));
  }
  return parameters.toString();
}

function parseFlag(name: string, value: string): boolean {
  if (value === 'true' || value === 'false') return value === 'true';
  throw new MeshError('INVALID_ARGUMENT', `${name}="${value}" is neither "true" nor "false"`);
}

function parseCount(name: string, value: string): number {
  if (/^\d{1,15}$/.test(value)) return Number(value);
  throw new MeshError('INVALID_ARGUMENT', `${name}="${value}" is not a whole number of 0 or more`);
}

function parsePath(value: string): ConnectionPath {
  const path = connectionPaths.find((known) => known === value);
  if (path !== undefined) return path;
  throw new MeshError('INVALID_ARGUMENT', `path="${value}" is not one of ${connectionPaths.join(', ')}`);
}

function parsePart(value: string): 'live' | 'recent' {
  if (value === 'live' || value === 'recent') return value;
  throw new MeshError('INVALID_ARGUMENT', `only="${value}" is neither "live" nor "recent"`);
}
