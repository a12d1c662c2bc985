/** How long a command still takes, for whoever watches it on a terminal; a line of its own for a log. */
import type { CliEnv } from './env.ts';
import { formatDuration } from './format.ts';

const width = 'counting, 3600s left'.length;

/** Until the function that it returns is called. */
export function tellTime({ clock, stderr }: Pick<CliEnv, 'clock' | 'stderr'>, forMs: number): () => void {
  if (!stderr.isTTY) {
    stderr.write(`counting for ${formatDuration(forMs)}\n`);
    return () => {};
  }
  const end = clock.now() + forMs;
  let cancel: () => void;
  const tell = (): void => {
    const left = Math.ceil(Math.max(0, end - clock.now()) / 1000);
    stderr.write(`\r${`counting, ${left}s left`.padEnd(width)}`);
    cancel = clock.after(1000, tell);
  };
  tell();
  return () => {
    cancel();
    stderr.write(`\r${' '.repeat(width)}\r`);
  };
}
