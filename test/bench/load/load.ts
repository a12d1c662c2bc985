/**
 * The load generator for small messages: builds `load.c` and runs it in a pod. A known tool was wanted here; fortio's
 * TCP mode keeps each connection for the whole run, so it cannot open one per message, and it interpolates
 * percentiles from a coarse histogram.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { LabPod } from '../lab.ts';
import { echoPorts } from '../manifest.ts';
import { type Argv, holder, output } from '../process.ts';

export interface LoadResult {
  readonly operations: number;
  readonly errors: number;
  readonly seconds: number;
  /** Microseconds. */
  readonly p50: number;
  readonly p99: number;
}

export interface Load {
  readonly mode: 'ping' | 'short' | 'connect' | 'first';
  readonly host: string;
  readonly connections: number;
  readonly seconds: number;
}

const patienceMs = 20_000;

export class LoadTool {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  static async build(directory: string): Promise<LoadTool> {
    mkdirSync(directory, { recursive: true });
    const path = join(directory, 'load');
    await output(['cc', '-O2', '-o', path, join(import.meta.dirname, 'load.c')], 60_000);
    return new LoadTool(path);
  }

  /** @throws Error when nothing succeeded, or more than one operation in a hundred failed. */
  async run(pod: LabPod, load: Load, signal: AbortSignal): Promise<LoadResult> {
    const argv = this.#argv(load.mode, load.host, load.connections, load.seconds);
    const text = await output(pod.command(argv), load.seconds * 1000 + patienceMs, signal);
    const result = JSON.parse(text) as LoadResult;
    if (result.operations > 0 && result.errors * 100 <= result.operations) return result;
    throw new Error(`${result.errors} operations failed, ${result.operations} succeeded`);
  }

  /** Keeps `connections` open and idle until it is disposed of. */
  hold(pod: LabPod, host: string, connections: number): Promise<AsyncDisposable> {
    return holder(pod.command(this.#argv('hold', host, connections, 0)), 70_000);
  }

  #argv(mode: string, host: string, connections: number, seconds: number): Argv {
    const { first, count } = echoPorts;
    return [this.path, mode, host, String(first), String(count), String(connections), String(seconds)];
  }
}
