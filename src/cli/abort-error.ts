/** Why waiting for a node ended before it answered, in the words of whoever typed the command. */
import { MeshError } from '../base/errors.ts';

/** `who`: `the node at /run/…`. */
export function abortError(who: string, signal: AbortSignal, cause: unknown): MeshError {
  if (!isTimeout(signal.reason)) return new MeshError('UNAVAILABLE', 'interrupted', { cause });
  return new MeshError('TIMEOUT', `${who} did not answer in time`, {
    cause,
    hint: 'give it longer with --timeout',
  });
}

const isTimeout = (reason: unknown): boolean =>
  typeof reason === 'object' && reason !== null && 'name' in reason && reason.name === 'TimeoutError';
