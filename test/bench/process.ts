/** Child processes of the bench: run to the end with a deadline, or kept running until they are stopped. */
import { spawn, type ChildProcess } from 'node:child_process';
import { openSync, closeSync } from 'node:fs';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';

export type Argv = readonly [string, ...string[]];

/** Runs a command and returns its standard output. @throws Error with the end of its output when it fails or is late. */
export async function output(argv: Argv, timeoutMs: number, signal?: AbortSignal): Promise<string> {
  signal?.throwIfAborted();
  const [file, ...args] = argv;
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let [stdout, stderr, late] = ['', '', false];
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const kill = (): unknown => child.kill('SIGKILL');
  const timer = setTimeout(() => {
    late = true;
    kill();
  }, timeoutMs);
  signal?.addEventListener('abort', kill, { once: true });
  try {
    const [code] = (await once(child, 'close')) as [number | null];
    signal?.throwIfAborted();
    if (late) throw new Error(`not finished after ${timeoutMs / 1000} s${ending(stderr)}`);
    if (code !== 0) throw new Error(`failed${ending(stderr) || ending(stdout)}`);
    return stdout;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', kill);
  }
}

const ending = (text: string): string => {
  const lines = text.trim().split('\n').slice(-3).join('; ').slice(-300);
  return lines === '' ? '' : `: ${lines}`;
};

export interface Daemon extends AsyncDisposable {
  readonly pid: number;
  readonly running: boolean;
}

/** Starts a program that goes on until it is disposed of; what it says goes to `logFile`. */
export function daemon(argv: Argv, logFile: string, env: NodeJS.ProcessEnv = {}): Daemon {
  const [file, ...args] = argv;
  const log = openSync(logFile, 'a');
  const child = spawn(file, args, { stdio: ['ignore', log, log], env: { ...process.env, ...env } });
  closeSync(log);
  child.on('error', () => {});
  if (child.pid === undefined) throw new Error(`${file} could not be started`);
  return {
    pid: child.pid,
    get running() {
      return isRunning(child);
    },
    [Symbol.asyncDispose]: () => stop(child),
  };
}

/** A command that says `ready` and then waits for the end of its input. @throws Error when it ends before, or is late. */
export async function holder(argv: Argv, timeoutMs: number): Promise<AsyncDisposable> {
  const [file, ...args] = argv;
  const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'pipe'] });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  child.stdin.on('error', () => {});
  const said = await Promise.race([
    once(child.stdout, 'data').then(() => 'ready'),
    once(child, 'close').then(() => 'ended'),
    delay(timeoutMs, 'late'),
  ]);
  if (said === 'ready') return { [Symbol.asyncDispose]: () => stop(child) };
  await stop(child);
  throw new Error(`connections could not be opened: ${said}${ending(stderr)}`);
}

const isRunning = (child: ChildProcess): boolean => child.exitCode === null && child.signalCode === null;

async function stop(child: ChildProcess): Promise<void> {
  if (!isRunning(child)) return;
  const ended = once(child, 'exit');
  child.stdin?.end();
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), 3000);
  await ended;
  clearTimeout(timer);
}
