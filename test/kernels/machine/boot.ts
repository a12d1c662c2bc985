/** Boots a kernel, has it do its steps, and returns what it said. A machine that does not end by itself is ended. */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { join } from 'node:path';
import type { ReadyKernel } from '../debian/cache.ts';
import type { Step } from '../steps.ts';
import { makeInitrd } from './initrd.ts';
import { qemuArguments } from './qemu.ts';
import { hear, silence, type Transcript } from './transcript.ts';

export interface BootOptions {
  readonly root: string;
  /** A directory; made empty by the caller. Other machines may use it too. */
  readonly results: string;
  /** Which of these machines it is: in the names of the files about it. */
  readonly machine: number;
  readonly steps: readonly Step[];
  readonly cpus: number;
  /** For all of it. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  /** Told after each line of the guest. */
  readonly heard: (transcript: Transcript) => void;
}

export interface Run {
  readonly transcript: Transcript;
  readonly timedOut: boolean;
  readonly console: string;
  /** The kernel's messages after the last step; empty when it did not come so far. */
  readonly messages: string;
  /** What qemu itself complained about. */
  readonly complaint: string;
}

export async function boot(kernel: ReadyKernel, options: BootOptions): Promise<Run> {
  const { root, results, machine, steps, cpus, timeoutMs, signal } = options;
  const path = (name: string): string => join(results, `machine-${machine}.${name}`);
  const [initrd, consoleLog] = [path('initrd'), path('console.log')];
  await makeInitrd(kernel, initrd);
  const lines = steps.map(({ name, timeoutSeconds, command }) => `${name} ${timeoutSeconds} ${command}\n`);
  await writeFile(path('steps'), lines.join(''));
  const nonce = randomBytes(8).toString('hex');
  const environment = {
    MESH_NONCE: nonce,
    MESH_ROOT: root,
    MESH_RESULTS: results,
    MESH_MACHINE: `${machine}`,
    MESH_MODULES: kernel.modules,
  };
  const args = qemuArguments({ vmlinux: kernel.vmlinux, initrd, results, consoleLog, cpus, environment });
  const expected = { nonce, steps: steps.map(({ name }) => name) };
  const deadline = AbortSignal.timeout(timeoutMs);
  const end = await runQemu(args, AbortSignal.any([signal, deadline]), (line, before) => {
    const after = hear(expected, before, line);
    options.heard(after);
    return after;
  });
  signal.throwIfAborted();
  const read = (name: string): Promise<string> => readFile(path(name), 'utf8').catch(() => '');
  return {
    ...end,
    timedOut: deadline.aborted && !end.transcript.complete,
    console: await read('console.log'),
    messages: await read('dmesg.log'),
  };
}

function runQemu(
  args: readonly string[],
  signal: AbortSignal,
  take: (line: string, before: Transcript) => Transcript,
): Promise<Pick<Run, 'transcript' | 'complaint'>> {
  return new Promise((resolve, reject) => {
    const child = spawn('qemu-system-x86_64', args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      signal,
      killSignal: 'SIGKILL',
    });
    let [transcript, complaint] = [silence, ''];
    createInterface(child.stdout).on('line', (line) => (transcript = take(line, transcript)));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (complaint += text));
    child.on('error', (error) => {
      if (!signal.aborted) reject(error);
    });
    child.on('close', () => resolve({ transcript, complaint: complaint.trim() }));
  });
}
