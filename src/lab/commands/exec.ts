/** `lab exec`: a command inside a running pod, with the terminal of the person who asked. */
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { MeshError } from '../../base/errors.ts';
import { nodeCgroups } from '../layout.ts';
import { requireLab } from '../lab-file.ts';
import { findPod } from '../plan/find-pod.ts';
import type { PodName } from '../plan/find-pod.ts';
import { objectsOfKind } from '../plan/objects.ts';
import { podEnvironment } from '../plan/pod-files.ts';
import { readPodRecord } from '../pod-record.ts';
import { inCgroup, inPod } from '../system/enter.ts';
import type { Argv } from '../system/enter.ts';
import { ObjectStore } from '../system/object-store.ts';
import { isAlive } from '../system/process.ts';
import { systemPath } from '../system/run.ts';
import type { LabContext } from './context.ts';

export interface ExecOptions {
  readonly pod: PodName;
  readonly command: Argv;
  /** The terminal's type, passed on. */
  readonly term: string | undefined;
}

/** Returns the command's exit code; 128 and the signal's number when a signal ended it, as shells do. */
export async function labExec(context: LabContext, options: ExecOptions): Promise<number> {
  const { layout } = context;
  const state = await requireLab(layout);
  const pod = findPod(objectsOfKind(new ObjectStore(layout).read(), 'Pod'), options.pod);
  const { namespace, name } = pod.metadata;
  const record = await readPodRecord(layout.pod(namespace, name));
  if (record === undefined || record.uid !== pod.metadata.uid || !isAlive(record.holder)) {
    throw new MeshError('UNAVAILABLE', `pod ${namespace}/${name} does not run`, {
      hint: 'mesh-ebpf lab status',
    });
  }
  const cgroup = nodeCgroups(state.cgroup2, pod.spec.nodeName ?? '').pod(record.uid);
  const environment = podEnvironment(pod, `${layout.bin}:${systemPath}`);
  const term = options.term === undefined ? {} : { TERM: options.term };
  return runHere(inCgroup(cgroup, inPod(record.holder, options.command)), { ...environment, ...term });
}

/** Ctrl-C reaches the command by itself, as it shares the terminal; we only outlive it, however often it is pressed. */
function runHere([file, ...args]: Argv, env: Readonly<Record<string, string>>): Promise<number> {
  process.on('SIGINT', ignore);
  return new Promise<number>((resolve, reject) => {
    const child = spawn(file, args, { env, stdio: 'inherit' });
    child.once('error', reject);
    child.once('close', (code, signal) =>
      resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal])),
    );
    process.once('SIGTERM', () => child.kill('SIGTERM'));
  }).finally(() => process.off('SIGINT', ignore));
}

const ignore = (): void => {};
