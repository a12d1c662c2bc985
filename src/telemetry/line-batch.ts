/**
 * Writes log lines of a busy process together: a node completes thousands of connections a second, and a system call for
 * each of their lines is a tenth of what a short connection costs. A line that comes alone leaves with the turn of the
 * event loop it came in; one that follows closely waits for others. What waits is lost only if the process is killed.
 */
import type { Clock } from '../base/clock.ts';

export interface LineBatch {
  write(line: string): void;
  /** Writes now what there is: for the end of the process. */
  flush(): void;
}

/** Distance of writes, at least: what a reader of the log does not notice. */
const intervalMs = 20;
/** Lines that do not wait any longer: bounds what is held. */
const maxBytes = 64 << 10;

export function batchLines(to: (text: string) => void, clock: Pick<Clock, 'now' | 'after'>): LineBatch {
  let pending = '';
  let flushedAt = -Infinity;
  const flush = (): void => {
    const text = pending;
    pending = '';
    flushedAt = clock.now();
    if (text !== '') to(text);
  };
  /** A clock that was set back must not make lines wait. */
  const schedule = (): void => {
    const passedMs = clock.now() - flushedAt;
    if (passedMs >= 0 && passedMs < intervalMs) clock.after(intervalMs - passedMs, flush);
    else setImmediate(flush).unref();
  };
  return {
    write(line) {
      if (pending === '') schedule();
      pending += line;
      if (pending.length >= maxBytes) flush();
    },
    flush,
  };
}
