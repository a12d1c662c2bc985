/** Waiting with an end: a signal with a time limit, and a promise that is not waited for when a signal fires. */
import type { Clock } from '../../base/clock.ts';
import { asMeshError, type MeshError } from '../../base/errors.ts';

export interface Deadline {
  /** Fires with the parent's reason, or with the caller's error when the time is up. */
  readonly signal: AbortSignal;
  /** Fires it now. */
  end(error: MeshError): void;
  /** Must be called when the work is done, or the parent keeps the listener. */
  cancel(): void;
}

export function deadline(
  clock: Clock,
  afterMs: number,
  parent: AbortSignal,
  late: () => MeshError,
): Deadline {
  const controller = new AbortController();
  const parentFired = (): void => controller.abort(parent.reason);
  if (parent.aborted) parentFired();
  parent.addEventListener('abort', parentFired);
  const cancelTimer = clock.after(afterMs, () => controller.abort(late()));
  return {
    signal: controller.signal,
    end: (error) => controller.abort(error),
    cancel() {
      cancelTimer();
      parent.removeEventListener('abort', parentFired);
    },
  };
}

/**
 * What `work` comes to, unless the signal fires first; `work` goes on then, for others.
 * @throws MeshError the signal's reason, or what `work` throws
 */
export function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const aborted = (): void => reject(asMeshError(signal.reason));
    if (signal.aborted) aborted();
    signal.addEventListener('abort', aborted);
    const settled = (): void => signal.removeEventListener('abort', aborted);
    work.then(resolve, reject).finally(settled);
  });
}
