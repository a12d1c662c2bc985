/** Parses the query of `GET /v1/connections`, and writes it: the server and the CLI share the spelling. */
import { MeshError } from '../base/errors.ts';
import type { ConnectionsQuery } from './admin-api.ts';

/** @throws MeshError INVALID_ARGUMENT for a parameter that is unknown or not valid. */
export function parseConnectionsQuery(parameters: URLSearchParams): ConnectionsQuery {
  const query: { -readonly [Name in keyof ConnectionsQuery]: ConnectionsQuery[Name] } = {};
  for (const [name, value] of parameters) {
    switch (name) {
      case 'namespace':
      case 'pod':
        query[name] = value;
        break;
      case 'failed':
      case 'denied':
        query[name] = parseFlag(name, value);
        break;
      case 'since':
      case 'after':
      case 'limit':
        query[name] = parseCount(name, value);
        break;
      case 'only':
        query.only = parsePart(value);
        break;
      default:
        throw new MeshError('INVALID_ARGUMENT', `there is no query parameter "${name}"`);
    }
  }
  return query;
}

export function formatConnectionsQuery(query: ConnectionsQuery): string {
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

function parsePart(value: string): 'live' | 'recent' {
  if (value === 'live' || value === 'recent') return value;
  throw new MeshError('INVALID_ARGUMENT', `only="${value}" is neither "live" nor "recent"`);
}
