/** Ends a request whose answer does not come, or does not go on. */
import type { Clock } from '../../base/clock.ts';
import { ApiFailure, asFailure } from './failure.ts';

export interface AnswerDeadline extends Disposable {
  /** Fires when time is up, or `stop` does. */
  readonly signal: AbortSignal;
  /** Something came: time starts anew. */
  heard(): void;
  /** From now on so much time between two things heard. */
  every(ms: number): void;
  /** @throws ApiFailure if the deadline ended the request: a body then may look as if it were complete */
  check(): void;
  /** Why the request failed: the deadline, if it was that. */
  blame(error: unknown): ApiFailure;
}

export function answerDeadline(clock: Clock, stop: AbortSignal, firstMs: number): AnswerDeadline {
  const controller = new AbortController();
  let ms = firstMs;
  let heardAt = clock.now();
  let failure: ApiFailure | undefined;
  let cancel: (() => void) | undefined;
  const abort = (): void => controller.abort();
  /** One timer however often something is heard. */
  const arm = (delay: number): void => {
    cancel = clock.after(delay, () => {
      const left = heardAt + ms - clock.now();
      if (left > 0) return arm(left);
      failure = new ApiFailure('unavailable', `nothing was heard from the API server for ${ms / 1000} s`);
      abort();
    });
  };
  arm(ms);
  stop.addEventListener('abort', abort);
  if (stop.aborted) abort();
  return {
    signal: controller.signal,
    heard() {
      heardAt = clock.now();
    },
    every(next) {
      ms = next;
      cancel?.();
      arm(ms);
    },
    check() {
      if (failure !== undefined) throw failure;
    },
    blame: (error) => failure ?? asFailure(error),
    [Symbol.dispose]() {
      cancel?.();
      stop.removeEventListener('abort', abort);
      // Whoever stops reading early leaves nothing open behind.
      abort();
    },
  };
}
