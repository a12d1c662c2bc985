/** Runs programs that take longer than a tool of the host: with a log, an environment, or the caller's terminal. */
import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { constants } from 'node:os';
import { MeshError } from '../../../src/base/errors.ts';
import type { Argv } from '../../../src/lab/system/enter.ts';

export interface Finished {
  /** Exit status; 128 and the signal's number when one ended it, as a shell says it. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ExecOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  /** Text for its standard input. */
  readonly input?: string;
  /** Unlimited when undefined. */
  readonly timeoutMs?: number;
}

/** What it said and how it ended. @throws MeshError UNSUPPORTED when it cannot be started, TIMEOUT when it is late. */
export function exec(argv: Argv, options: ExecOptions = {}): Promise<Finished> {
  const [file, ...args] = argv;
  const { env, cwd, timeoutMs, input } = options;
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, {
      stdio: 'pipe',
      killSignal: 'SIGKILL',
      ...(env === undefined ? {} : { env }),
      ...(cwd === undefined ? {} : { cwd }),
    });
    let [stdout, stderr, late] = ['', '', false];
    const timer = setTimeout(
      () => {
        late = true;
        child.kill('SIGKILL');
      },
      timeoutMs ?? 2 ** 31 - 1,
    );
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    child.on('error', (cause) => {
      clearTimeout(timer);
      reject(new MeshError('UNSUPPORTED', `"${file}" could not be started: ${cause.message}`, { cause }));
    });
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      if (late) reject(lateError(argv, timeoutMs ?? 0, stderr));
      else resolve({ code: code ?? statusOf(signal), stdout, stderr });
    });
    child.stdin.on('error', () => {});
    child.stdin.end(input ?? '');
  });
}

/** The same, for a command that has to succeed. @throws MeshError SYSCALL with the end of what it said */
export async function execOk(argv: Argv, options: ExecOptions = {}): Promise<string> {
  const { code, stdout, stderr } = await exec(argv, options);
  if (code === 0) return stdout;
  throw new MeshError('SYSCALL', `"${argv.join(' ')}" failed with ${code}: ${ending(stderr || stdout)}`);
}

/** With the caller's terminal. Resolves to the exit status. */
export function execHere(argv: Argv, env: NodeJS.ProcessEnv): Promise<number> {
  const [file, ...args] = argv;
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { stdio: 'inherit', env });
    child.on('error', reject);
    child.on('close', (code, signal) => resolve(code ?? statusOf(signal)));
  });
}

/** Starts a program that outlives us; what it says is appended to a log. Resolves to its process id. */
export function startDetached(argv: Argv, log: string, env: NodeJS.ProcessEnv): Promise<number> {
  const [file, ...args] = argv;
  const output = openSync(log, 'a', 0o640);
  const child = spawn(file, args, { stdio: ['ignore', output, output], detached: true, env });
  closeSync(output);
  child.unref();
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('spawn', () => resolve(child.pid ?? 0));
  });
}

const statusOf = (signal: NodeJS.Signals | null): number =>
  128 + (signal === null ? 0 : constants.signals[signal]);
const ending = (text: string): string => text.trim().split('\n').slice(-5).join('; ').slice(-800);

const lateError = (argv: Argv, timeoutMs: number, stderr: string): MeshError =>
  new MeshError('TIMEOUT', `"${argv.join(' ')}" did not end in ${timeoutMs / 1000} s: ${ending(stderr)}`);
