/** What comes of a single request to the Kubernetes API server when it fails: refused, or not answered. */
import { MeshError } from '../../base/errors.ts';
import { refusalError } from '../api-refusal.ts';

/** What was asked, for people: `get secrets mesh-ebpf-system/mesh-ebpf-ca`. */
export interface ApiCall {
  readonly verb: string;
  readonly path: string;
}

/** An answer that is not 2xx. `body` is what came with it, parsed if it was JSON. */
export const apiError = ({ verb, path }: ApiCall, httpStatus: number, body: unknown): MeshError =>
  refusalError({ asked: `${verb} ${path}`, httpStatus, body });

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
