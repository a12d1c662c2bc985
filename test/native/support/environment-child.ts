/**
 * Program of test/native/environment.test.ts, run in a process or a worker thread of its own: loads the addon, leaves
 * it busy in the way its first argument names, and ends.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { isNativeError } from '../../../src/native/errors.ts';
import { native } from './addon.ts';
import { connectFromCgroup, makeCgroup } from './kernel-places.ts';
import { clientSpec } from './specs.ts';
import { compileSubject, withLoaded } from './subject.ts';

const sockAddr = 18; // BPF_PROG_TYPE_CGROUP_SOCK_ADDR
const connect4 = 10; // BPF_CGROUP_INET4_CONNECT

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

/** A record is waiting when the callback, which throws, is installed. */
function throwInCallback(): void {
  const subject = compileSubject();
  const cgroup = makeCgroup();
  withLoaded(subject, (object) => {
    const link = native.linkCgroup(object.programFd('report_connect'), native.openPath(cgroup.path), connect4);
    connectFromCgroup(cgroup.path, '127.0.0.1', 9);
    native.closeFd(link);
    native.openRingBuffer(object.mapFd('events')).start(() => {
      throw new Error('on purpose');
    });
  });
  cgroup.remove();
  subject.remove();
}

/** Code of the error each call ends with. */
async function askWithoutPrivileges(): Promise<Record<string, string>> {
  const subject = compileSubject();
  const calls: Record<string, () => unknown> = {
    probeHelper: () => native.probeHelper(sockAddr, connect4, 1),
    probeProgramType: () => native.probeProgramType(sockAddr, connect4),
    listPrograms: () => native.listPrograms(),
    enableRunStats: () => native.enableRunStats(),
    listMaps: () => native.listMaps(),
    load: () => withLoaded(subject, () => 'loaded'),
    createSocket: () => native.createSocket({ ...clientSpec, netns: '/proc/self/ns/net' }),
    mark: () => native.createSocket({ ...clientSpec, mark: 1 }),
    transparent: () => native.createSocket({ ...clientSpec, transparent: true }),
  };
  const codes: Record<string, string> = {};
  for (const [name, call] of Object.entries(calls)) {
    try {
      codes[name] = String(await call());
    } catch (error) {
      codes[name] = isNativeError(error) ? error.code : String(error);
    }
  }
  subject.remove();
  return codes;
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
  case 'throw-in-callback':
    throwInCallback();
    break;
  case 'unprivileged':
    process.stdout.write(JSON.stringify(await askWithoutPrivileges()));
    break;
  default:
    throw new Error(`unknown scenario ${String(scenario)}`);
}
