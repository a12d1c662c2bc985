/** A process that a test started in a pod or in a namespace of the lab: its output line by line, and its end. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

export interface Finished {
  /** As shells have it: 128 and the signal's number if one ended it. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

const signalNumbers: Readonly<Record<string, number>> = { SIGINT: 2, SIGKILL: 9, SIGTERM: 15 };

export class PodProcess {
  readonly child: ChildProcessWithoutNullStreams;
  /** Settles when it has ended and everything it wrote was read. */
  readonly finished: Promise<Finished>;
  readonly #lines: string[] = [];
  readonly #waiting: ((line: string | undefined) => void)[] = [];
  #stderr = '';
  #ended = false;

  constructor([file, ...args]: readonly [string, ...string[]], env: Readonly<Record<string, string>>) {
    this.child = spawn(file, args, { env });
    // A process that ends without reading what it is told is no fault of ours.
    this.child.stdin.on('error', () => {});
    let stdout = '';
    this.child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
    this.child.stderr.on('data', (chunk: Buffer) => (this.#stderr += chunk.toString()));
    createInterface(this.child.stdout).on('line', (line) => this.#gotLine(line));
    this.finished = new Promise((resolve, reject) => {
      this.child.once('error', reject);
      this.child.once('close', (code, signal) => {
        this.#ended = true;
        for (const give of this.#waiting.splice(0)) give(undefined);
        const status = code ?? 128 + (signalNumbers[signal ?? ''] ?? 0);
        resolve({ code: status, stdout, stderr: this.#stderr });
      });
    });
  }

  /** Its next line on standard output, as JSON. @throws Error with its standard error when it ends before. */
  async nextJson<T>(): Promise<T> {
    const line = this.#lines.shift() ?? (await this.#lineToCome());
    if (line === undefined) throw new Error(`the process ended without a further line: ${this.#stderr}`);
    return JSON.parse(line) as T;
  }

  /** The next line is one that it says from now on. */
  forget(): void {
    this.#lines.length = 0;
  }

  /** Ends its standard input, which is how the clients of `client.py` are asked to come to an end. */
  async stop(): Promise<Finished> {
    this.child.stdin.end();
    return await this.finished;
  }

  /** The last line of a client asked to come to an end. */
  async result<T>(): Promise<T> {
    return lastJson(await this.stop()) as T;
  }

  async kill(signal: NodeJS.Signals): Promise<Finished> {
    this.child.kill(signal);
    return await this.finished;
  }

  #gotLine(line: string): void {
    const give = this.#waiting.shift();
    if (give === undefined) this.#lines.push(line);
    else give(line);
  }

  #lineToCome(): Promise<string | undefined> {
    if (this.#ended) return Promise.resolve(undefined);
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}

function lastJson({ code, stdout, stderr }: Finished): unknown {
  const last = stdout.trimEnd().split('\n').at(-1);
  if (code !== 0 || last === undefined || last === '') {
    throw new Error(`the client ended with ${code}, saying: ${stderr.trim() || stdout.trim()}`);
  }
  return JSON.parse(last) as unknown;
}
