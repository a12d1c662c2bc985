/**
 * The one place where answers of the Kubernetes API server become MeshErrors: who was asked for what, why it failed,
 * and what to do. Source: the API conventions' table of status codes and `metav1.Status`.
 */
import { type ErrorCode, MeshError } from '../../base/errors.ts';

/** What was asked, for people: `get secrets mesh-ebpf-system/mesh-ebpf-ca`. */
export interface ApiCall {
  readonly verb: string;
  readonly path: string;
}

/** The fields of a `metav1.Status` that matter; every one may be missing in what a proxy answers. */
interface ApiStatus {
  readonly reason?: string;
  readonly message?: string;
}

/** Codes by HTTP status, where the status says it all. */
const codes: Readonly<Record<number, ErrorCode>> = {
  400: 'INVALID_ARGUMENT',
  401: 'PERMISSION',
  403: 'PERMISSION',
  404: 'NOT_FOUND',
  405: 'UNSUPPORTED',
  406: 'UNSUPPORTED',
  408: 'TIMEOUT',
  409: 'CONFLICT',
  410: 'CONFLICT',
  413: 'INVALID_MANIFEST',
  415: 'UNSUPPORTED',
  422: 'INVALID_MANIFEST',
  504: 'TIMEOUT',
};

/** An answer that is not 2xx. `body` is what came with it, parsed if it was JSON. */
export function apiError(call: ApiCall, httpStatus: number, body: unknown): MeshError {
  const { reason = '', message = '' } = statusOf(body);
  const code = reason === 'AlreadyExists' ? 'ALREADY_EXISTS' : (codes[httpStatus] ?? 'UNAVAILABLE');
  const said = message === '' ? `HTTP ${httpStatus}` : message;
  return new MeshError(code, `the API server refused to ${call.verb} ${call.path}: ${said}`, {
    ...hintOf(code, httpStatus, message),
    details: { httpStatus, reason, verb: call.verb, path: call.path },
  });
}

/** No answer at all. `deadlineMs` is how long was waited, if waiting ended it. */
export function noAnswer(call: ApiCall, server: string, cause: unknown, deadlineMs?: number): MeshError {
  const asked = `${call.verb} ${call.path}`;
  if (deadlineMs !== undefined) {
    return new MeshError(
      'TIMEOUT',
      `the API server at ${server} did not answer ${asked} in ${deadlineMs} ms`,
      {
        cause,
        hint: 'check that the API server is healthy and not overloaded',
      },
    );
  }
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new MeshError('UNAVAILABLE', `the API server at ${server} cannot be asked to ${asked}: ${reason}`, {
    cause,
    hint: 'check that the API server runs and that this process reaches it',
  });
}

function statusOf(body: unknown): ApiStatus {
  if (typeof body !== 'object' || body === null) return {};
  const { reason, message } = body as Record<string, unknown>;
  return {
    ...(typeof reason === 'string' ? { reason } : {}),
    ...(typeof message === 'string' ? { message: message.slice(0, 1000) } : {}),
  };
}

/** `User "x" cannot get resource "secrets" in API group "" in the namespace "y"`: which rule is missing. */
const forbidden = /cannot (\S+) resource "([^"]+)" in API group "([^"]*)"(?: in the namespace "([^"]+)")?/;

function hintOf(code: ErrorCode, httpStatus: number, message: string): { readonly hint?: string } {
  if (httpStatus === 401) {
    return { hint: 'the credentials are missing, expired or of another cluster; get new ones' };
  }
  if (code === 'CONFLICT') return { hint: 'somebody else changed the object; look at it again and repeat' };
  if (code === 'UNAVAILABLE') return { hint: 'the API server is overloaded or restarting; try again' };
  const [, verb, resource, group, namespace] = forbidden.exec(message) ?? [];
  if (verb === undefined) return {};
  const rule = `apiGroups: ["${group}"], resources: ["${resource}"], verbs: ["${verb}"]`;
  return {
    hint: `a role ${namespace === undefined ? 'of the cluster' : `in ${namespace}`} must grant ${rule}`,
  };
}
