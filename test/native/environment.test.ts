// The addon comes and goes with its JavaScript environment: processes and worker threads end promptly and without a
// crash whatever the addon is doing, and several environments use it at the same time.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { describe, expect, it } from '@jest/globals';
import { native } from './support/addon.ts';

const child = new URL('./support/environment-child.ts', import.meta.url);
const deadline = 60_000;

/** Exit status, or signal, of a process that runs the scenario, and what it complained about. */
async function runProcessWith(scenario: string): Promise<{ status: unknown; stderr: string }> {
  const running = spawn(process.execPath, [fileURLToPath(child), scenario], { stdio: ['ignore', 'ignore', 'pipe'] });
  const stderr = text(running.stderr);
  const [status, signal] = await once(running, 'exit');
  return { status: signal ?? status, stderr: await stderr };
}

const runProcess = async (scenario: string): Promise<unknown> => (await runProcessWith(scenario)).status;

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

describe('a ring buffer’s callback that throws', () => {
  it(
    'is an uncaught exception like any other, not a crash',
    async () => {
      const outcome = await runProcessWith('throw-in-callback');
      expect(outcome).toMatchObject({ status: 1, stderr: expect.stringContaining('Error: on purpose') });
    },
    deadline,
  );
});

describe('a process without privileges', () => {
  it(
    'is told so by every call that needs them, and by no probe that the kernel is old',
    async () => {
      const command = ['--bounding-set=-all', '--inh-caps=-all', process.execPath, fileURLToPath(child)];
      const output = execFileSync('setpriv', [...command, 'unprivileged'], { encoding: 'utf8' });
      expect(JSON.parse(output)).toEqual({
        probeHelper: 'EPERM',
        probeProgramType: 'EPERM',
        listPrograms: 'EPERM',
        enableRunStats: 'EPERM',
        listMaps: 'EPERM',
        load: 'EPERM',
        createSocket: 'EPERM',
        mark: 'EPERM',
        transparent: 'EPERM',
      });
    },
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
