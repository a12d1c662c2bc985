/** Runs Python of the pods' side: one interpreter for a lab, which forks for each script (`scripts.py`). */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Where a script's process runs. */
export interface Place {
  readonly netns: string;
  readonly cgroup: string;
}

const program = new URL('scripts.py', import.meta.url).pathname;

export class ScriptRunner {
  readonly #directory = mkdtempSync(join(tmpdir(), 'mebpf-scripts-'));
  readonly #interpreter: ChildProcessWithoutNullStreams;
  readonly #listening: Promise<unknown>;
  readonly #sockets = new Set<Socket>();
  #errors = '';

  /** @param cgroup for the interpreter itself, which must not be in a place that is going to be removed */
  constructor(cgroup: string) {
    const line = 'echo $$ >"$0/cgroup.procs"; exec python3 "$1" "$2"';
    const env = { ...process.env, PATH: `/usr/bin:${process.env['PATH'] ?? ''}` };
    this.#interpreter = spawn('/bin/sh', ['-ec', line, cgroup, program, this.#path], { env });
    this.#interpreter.stderr.on('data', (chunk: Buffer) => (this.#errors += chunk.toString()));
    const ended = once(this.#interpreter, 'close').then(() => {
      throw new Error(`the interpreter ended: ${this.#errors}`);
    });
    // Its end is expected when it is closed.
    ended.catch(() => {});
    this.#listening = Promise.race([once(this.#interpreter.stdout, 'data'), ended]);
    this.#listening.then(() => this.#letGo()).catch(() => {});
  }

  /** Runs a script to its end; what it printed, as JSON. */
  async run(where: Place, script: string, arg: unknown): Promise<unknown> {
    const { socket, output } = await this.#start(where, script, arg);
    socket.end();
    return JSON.parse(await output) as unknown;
  }

  /** Runs a script that holds something, until `release`, which tells all it printed; returns when it has printed a line. */
  async hold(where: Place, script: string, arg: unknown): Promise<() => Promise<string>> {
    const { socket, output } = await this.#start(where, script, arg);
    const first = await Promise.race([once(socket, 'data').then(String), output]);
    // Its failure, or its end.
    if (first.startsWith('\n!') || socket.readableEnded) {
      throw new Error(`the script ended early: ${await output}`);
    }
    return async () => {
      socket.end();
      return await output;
    };
  }

  /** Scripts that still run get the end of their input; they are not waited for. */
  close(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#interpreter.stdin.end();
    rmSync(this.#directory, { recursive: true });
  }

  /** `output` settles when the script's process is gone. */
  async #start(
    { netns, cgroup }: Place,
    script: string,
    arg: unknown,
  ): Promise<{ readonly socket: Socket; readonly output: Promise<string> }> {
    await this.#listening;
    const socket = connect({ path: this.#path, allowHalfOpen: true });
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    let text = '';
    socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
    const output = once(socket, 'end').then(() => {
      socket.end();
      const failure = text.split('\n!', 2)[1];
      if (failure === undefined) return text;
      throw new Error(`the script failed: ${failure}`);
    });
    // Whoever waits for it is told.
    output.catch(() => {});
    socket.write(`${JSON.stringify({ netns, cgroup, script, arg })}\n`);
    return { socket, output };
  }

  /** Tests that end without closing it are not held up; the interpreter ends with us. */
  #letGo(): void {
    const { stdin, stdout, stderr } = this.#interpreter;
    this.#interpreter.unref();
    for (const stream of [stdin, stdout, stderr]) if (stream instanceof Socket) stream.unref();
  }

  get #path(): string {
    return join(this.#directory, 'socket');
  }
}
