/**
 * Writes the log lines of one turn of the event loop together: a busy node completes thousands of connections a second,
 * and a system call for each of their lines is a tenth of what a short connection costs. What a turn has written
 * is lost only if the process is killed in that very turn.
 */
export interface LineBatch {
  write(line: string): void;
  /** Writes now what there is: for the end of the process. */
  flush(): void;
}

/** Lines that do not wait for the end of the turn: bounds what is held. */
const maxBytes = 64 << 10;

export function batchLines(to: (text: string) => void): LineBatch {
  let pending = '';
  const flush = (): void => {
    const text = pending;
    pending = '';
    if (text !== '') to(text);
  };
  return {
    write(line) {
      if (pending === '') setImmediate(flush).unref();
      pending += line;
      if (pending.length >= maxBytes) flush();
    },
    flush,
  };
}
