/**
 * Processes of the interop tests: each runs in a place (namespace and cgroup), writes its output to a file, and is
 * ended by its id. Waits are bounded, and say what they waited for.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** Where a process runs. */
export interface Place {
  /** Path of its network namespace. */
  readonly netns: string;
  /** Path of its cgroup. */
  readonly cgroup: string;
}

export interface Command {
  readonly place: Place;
  readonly argv: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  /** Where stdout and stderr go. */
  readonly output: string;
}

const enter = 'echo $$ > "$0/cgroup.procs"; netns=$1; shift; exec nsenter --net="$netns" "$@"';

/** Arguments that run a script of these tests with the Node that runs the tests. */
export const script = (url: URL, ...args: readonly string[]): readonly string[] => [
  process.execPath,
  '--disable-warning=ExperimentalWarning',
  fileURLToPath(url),
  ...args,
];

/** Runs a shell line and returns what it prints. */
export const sh = (line: string): string => execFileSync('/bin/sh', ['-ec', line], { encoding: 'utf8' });

export class Process {
  readonly #child: ChildProcess;
  readonly #output: string;
  readonly #ended: Promise<void>;

  constructor({ place, argv, environment = {}, output }: Command) {
    const file = openSync(output, 'w');
    this.#output = output;
    this.#child = spawn('/bin/sh', ['-ec', enter, place.cgroup, place.netns, ...argv], {
      env: { ...process.env, ...environment },
      stdio: ['ignore', file, file],
    });
    closeSync(file);
    this.#ended = new Promise((resolve) => {
      this.#child.once('exit', () => resolve());
    });
  }

  get running(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  output(): string {
    return readFileSync(this.#output, 'utf8');
  }

  /** The output's lines that are JSON objects, in order. */
  lines(): readonly Record<string, unknown>[] {
    return this.output()
      .split('\n')
      .filter((line) => line.startsWith('{') && line.endsWith('}'))
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  /** @throws when the process ends first, or the time is over; with the end of its output */
  async waitForOutput(pattern: RegExp, timeoutMs = 60_000): Promise<void> {
    await waitFor(
      `${pattern} in ${this.#output}`,
      () => {
        if (pattern.test(this.output())) return true;
        if (!this.running) throw new Error(`ended early:\n${this.output().slice(-4000)}`);
        return false;
      },
      timeoutMs,
    ).catch((error: unknown) => {
      throw new Error(`${String(error)}\n${this.output().slice(-4000)}`);
    });
  }

  signal(name: NodeJS.Signals): void {
    if (this.running) this.#child.kill(name);
  }

  async ended(timeoutMs = 60_000): Promise<void> {
    await within(timeoutMs, `the end of the process of ${this.#output}`, this.#ended);
  }

  async stop(): Promise<void> {
    this.signal('SIGTERM');
    await this.ended(15_000).catch(() => {
      this.signal('SIGKILL');
      return this.ended();
    });
  }
}

/** Asks until it is so. */
export async function waitFor(
  what: string,
  ask: () => boolean | Promise<boolean>,
  timeoutMs = 60_000,
): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!(await ask())) {
    if (Date.now() > deadline) throw new Error(`waited ${timeoutMs} ms in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

export async function within<T>(timeoutMs: number, what: string, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${timeoutMs} ms in vain for ${what}`)), timeoutMs);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
