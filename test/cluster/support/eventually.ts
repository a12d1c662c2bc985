/** Waiting for a condition instead of for a time. */
import { setTimeout as delay } from 'node:timers/promises';
import { MeshError } from '../../../src/base/errors.ts';

const askEveryMs = 200;

/**
 * Looks again until it is so. Whoever waits in vain is told what was seen last; a look that fails counts as seen, as
 * servers come and go.
 * @throws MeshError TIMEOUT
 */
export async function eventually<T>(
  what: string,
  look: () => Promise<T>,
  isSo: (seen: T) => boolean,
  timeoutMs: number,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const seen = await look().then(
      (value) => ({ value }),
      (error: unknown) => ({ error }),
    );
    if ('value' in seen && isSo(seen.value)) return seen.value;
    if (performance.now() > deadline) throw lateError(what, seen, timeoutMs);
    await delay(askEveryMs);
  }
}

function lateError(
  what: string,
  seen: { value: unknown } | { error: unknown },
  timeoutMs: number,
): MeshError {
  const last = 'value' in seen ? JSON.stringify(seen.value) : String(seen.error);
  return new MeshError('TIMEOUT', `not so after ${timeoutMs / 1000} s: ${what}; last seen: ${last}`);
}
