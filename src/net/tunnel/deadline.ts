/** A signal with a time limit: fires with the parent's reason, or with the caller's error when the time is up. */
import type { Clock } from '../../base/clock.ts';
import type { MeshError } from '../../base/errors.ts';

export interface Deadline {
  readonly signal: AbortSignal;
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
    cancel() {
      cancelTimer();
      parent.removeEventListener('abort', parentFired);
    },
  };
}
