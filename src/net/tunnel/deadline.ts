/** Waiting with an end: work with a time limit, and a promise that is waited for only as long as it is wanted. */
import type { Clock } from '../../base/clock.ts';
import type { MeshError } from '../../base/errors.ts';
import { Ending, type Wanted } from './ending.ts';

export interface Deadline {
  /** Ends with the parent's reason, or with the caller's error when the time is up. */
  readonly wanted: Wanted;
  /** Ends it now. */
  end(error: MeshError): void;
  /** Must be called when the work is done, or the parent keeps the listener. */
  cancel(): void;
}

export function deadline(clock: Clock, afterMs: number, parent: Wanted, late: () => MeshError): Deadline {
  const ending = new Ending();
  const parentEnded = (reason: MeshError): void => ending.end(reason);
  if (parent.endedBy !== undefined) parentEnded(parent.endedBy);
  parent.listen(parentEnded);
  const cancelTimer = clock.after(afterMs, () => ending.end(late()));
  return {
    wanted: ending,
    end: (error) => ending.end(error),
    cancel() {
      cancelTimer();
      parent.forget(parentEnded);
    },
  };
}

/**
 * What `work` comes to, unless it is no longer wanted before; `work` goes on then, for others.
 * @throws MeshError why it is not wanted, or what `work` throws
 */
export function whileWanted<T>(work: Promise<T>, wanted: Wanted): Promise<T> {
  return new Promise((resolve, reject) => {
    if (wanted.endedBy !== undefined) reject(wanted.endedBy);
    wanted.listen(reject);
    work.then(resolve, reject).finally(() => wanted.forget(reject));
  });
}
