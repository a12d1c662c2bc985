/** A keeper with a worker of the tests, told what to do line by line on standard input (`keeper-worker.ts`). */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { setTimeout as delay } from 'node:timers/promises';

export const keeperPath = fileURLToPath(
  new URL(
    process.env['MESH_EBPF_TEST_KEEPER'] ?? '../../../build/keeper/mesh-ebpf-keeper',
    import.meta.url,
  ),
);
const worker = [process.execPath, fileURLToPath(new URL('keeper-worker.ts', import.meta.url))];

/** What the worker prints, and what the keeper logs. */
interface Line {
  readonly started?: number;
  readonly port?: number;
  readonly taken?: string | null;
  readonly served?: string;
  readonly done?: string;
  readonly said?: string;
  readonly msg?: string;
}

export class KeeperProcess {
  readonly child: ChildProcessByStdio<Writable, Readable, null>;
  readonly ended: Promise<number>;
  /** The keeper's log and the worker's words come in no particular order. */
  readonly #log: Line[] = [];
  readonly #words: Line[] = [];
  readonly #all: Line[] = [];

  constructor(options: readonly string[] = [], command: readonly string[] = worker, prefix: readonly string[] = []) {
    const [file = '', ...args] = [...prefix, keeperPath, ...options, '--', ...command];
    this.child = spawn(file, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.child.stdin.on('error', () => {});
    createInterface(this.child.stdout).on('line', (text) => {
      const line = JSON.parse(text) as Line;
      this.#all.push(line);
      (line.msg === undefined ? this.#words : this.#log).push(line);
    });
    this.ended = once(this.child, 'close').then(([code]) => Number(code));
  }

  get log(): readonly string[] {
    return this.#all.flatMap(({ msg }) => msg ?? []);
  }

  async logged(text: string): Promise<string> {
    return (await this.#next(this.#log, ({ msg }) => msg?.includes(text) === true)).msg ?? '';
  }

  /** The worker's process id, once it listens to us. */
  async worker(): Promise<number> {
    return (await this.started()).started ?? 0;
  }

  /** Without being asked. */
  async said(text: string): Promise<void> {
    await this.#next(this.#words, ({ said }) => said === text);
  }

  started(): Promise<Line> {
    return this.#next(this.#words, ({ started }) => started !== undefined);
  }

  async ask(command: string): Promise<Line> {
    this.child.stdin.write(`${command}\n`);
    return await this.#next(this.#words, ({ started }) => started === undefined);
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number> {
    this.child.kill(signal);
    return await this.ended;
  }

  /** Waits for such a line, and passes over those before it. */
  async #next(lines: Line[], is: (line: Line) => boolean): Promise<Line> {
    for (const end = Date.now() + 20_000; Date.now() < end; await delay(5)) {
      const found = lines.findIndex(is);
      if (found >= 0) return lines.splice(0, found + 1)[found] ?? {};
    }
    throw new Error(`waited in vain; so far: ${JSON.stringify(this.#all.slice(-10))}`);
  }
}
