/**
 * Program of test/native/environment.test.ts, run in a process or a worker thread of its own: loads the addon, leaves
 * it busy in the way its first argument names, and ends.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { native } from './addon.ts';
import { clientSpec } from './specs.ts';
import { compileSubject, withLoaded } from './subject.ts';

const scenario = parentPort === null ? process.argv[2] : String(workerData);

function startJobs(count: number): Promise<unknown> {
  return Promise.all(
    Array.from({ length: count }, () => native.createSocket({ ...clientSpec, netns: '/proc/self/ns/net' })),
  );
}

function startRingBuffer(): void {
  const subject = compileSubject();
  const events = withLoaded(subject, (object) => object.mapFd('events'));
  native.openRingBuffer(events).start(() => {});
  subject.remove();
}

/** Tells the test that it may terminate this thread. */
function announceBusy(): void {
  const message = 'busy';
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a MessagePort has no origin
  parentPort?.postMessage(message);
}

switch (scenario) {
  case 'idle':
    break;
  case 'finish':
    await startJobs(50);
    break;
  case 'exit-with-jobs':
    void startJobs(500);
    process.exit(0);
    break;
  case 'exit-with-ring-buffer':
    startRingBuffer();
    process.exit(0);
    break;
  case 'spin-with-jobs':
    void startJobs(500);
    startRingBuffer();
    announceBusy();
    for (;;) {
      native.listMaps();
      try {
        native.openPath('/nonexistent');
      } catch {
        // What matters is that it may be interrupted anywhere.
      }
    }
  case 'wait-with-ring-buffer':
    void startJobs(500);
    startRingBuffer();
    announceBusy();
    break;
  default:
    throw new Error(`unknown scenario ${String(scenario)}`);
}
