// The addon comes and goes with its JavaScript environment: processes and worker threads end promptly and without a
// crash whatever the addon is doing, and several environments use it at the same time.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { describe, expect, it } from '@jest/globals';
import { native } from './support/addon.ts';

const child = join(import.meta.dirname, 'support/environment-child.ts');
const deadline = 60_000;

/** Exit status of a process that runs the scenario; a signal's name if it crashed. */
async function runProcess(scenario: string): Promise<unknown> {
  const running = spawn(process.execPath, [child, scenario], { stdio: ['ignore', 'ignore', 'inherit'] });
  const [status, signal] = await once(running, 'exit');
  return signal ?? status;
}

const startWorker = (scenario: string): Worker => new Worker(child, { workerData: scenario });

async function runWorker(scenario: string): Promise<unknown> {
  const [status] = await once(startWorker(scenario), 'exit');
  return status;
}

describe('a process', () => {
  it.each(['idle', 'finish', 'exit-with-jobs', 'exit-with-ring-buffer'])(
    'ends by itself and in order: %s',
    async (scenario) => expect(await runProcess(scenario)).toBe(0),
    deadline,
  );
});

describe('a worker thread', () => {
  it.each(['idle', 'finish', 'exit-with-jobs', 'exit-with-ring-buffer'])(
    'ends by itself and in order: %s',
    async (scenario) => expect(await runWorker(scenario)).toBe(0),
    deadline,
  );

  it.each(['spin-with-jobs', 'wait-with-ring-buffer'])(
    'can be terminated at any moment: %s',
    async (scenario) => {
      const worker = startWorker(scenario);
      await once(worker, 'message');
      expect(await worker.terminate()).toBe(1);
    },
    deadline,
  );

  it(
    'leaves its sockets to the process, which still knows them',
    async () => {
      const before = native.openFdCount();
      expect(await runWorker('finish')).toBe(0);
      expect(native.openFdCount()).toBe(before + 50);
    },
    deadline,
  );

  it(
    'works beside others',
    async () => {
      const outcomes = await Promise.all(Array.from({ length: 4 }, () => runWorker('finish')));
      expect(outcomes).toEqual([0, 0, 0, 0]);
      await native.netnsCookie('/proc/self/ns/net');
    },
    deadline,
  );
});
