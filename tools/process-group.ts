/** A command with all that it starts: npm, for one, leaves its script behind when it is ended alone. */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import type { Readable } from 'node:stream';

/** Asked every second, with the milliseconds since the start: why the command is to be ended now, if it is. */
export type Watch = (aliveMs: number) => string | undefined;

/** Ended as a group, when `watch` says so or when this process is interrupted. */
export function spawnGroup(
  file: string,
  args: readonly string[],
  watch: Watch,
): ChildProcessByStdio<null, Readable, Readable> {
  const started = Date.now();
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  const end = (signal: NodeJS.Signals): void => killGroup(child.pid, signal);
  const ask = setInterval(() => {
    const why = watch(Date.now() - started);
    if (why === undefined) return;
    process.stdout.write(`    ended: ${why}\n`);
    end('SIGKILL');
  }, 1000);
  const interrupted = (signal: NodeJS.Signals): void => {
    end(signal);
    process.exit(130);
  };
  for (const signal of interrupts) process.on(signal, interrupted);
  child.on('close', () => {
    clearInterval(ask);
    for (const signal of interrupts) process.off(signal, interrupted);
  });
  return child;
}

const interrupts = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

function killGroup(leader: number | undefined, signal: NodeJS.Signals): void {
  if (leader === undefined) return;
  try {
    process.kill(-leader, signal);
  } catch {
    // All of it has ended.
  }
}
