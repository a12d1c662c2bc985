/** `lab exec`: a command inside a running pod, with the terminal of the person who asked. */
import { type ChildProcess, spawn } from 'node:child_process';
import { constants } from 'node:os';
import { isatty } from 'node:tty';
import { MeshError } from '../../base/errors.ts';
import { nodeCgroups } from '../layout.ts';
import { requireLab } from '../lab-file.ts';
import { findPod } from '../plan/find-pod.ts';
import type { PodName } from '../plan/find-pod.ts';
import { objectsOfKind } from '../plan/objects.ts';
import { podEnvironment } from '../plan/pod-files.ts';
import type { Environment } from '../plan/pod-files.ts';
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
  /** Pass standard input on though it is no terminal. */
  readonly stdin: boolean;
  /** A terminal is expected. */
  readonly tty: boolean;
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
  const argv = inCgroup(cgroup, inPod(record.holder, options.command));
  const hasTerminal = isatty(0);
  if (options.tty && !hasTerminal)
    context.progress('standard input is not a terminal: there is none to pass on');
  return runHere(argv, { ...environment, ...term }, hasTerminal || options.stdin);
}

/** A terminal is always passed on; other input only if asked, so that a loop over lines keeps its lines. */
function runHere([file, ...args]: Argv, env: Environment, withInput: boolean): Promise<number> {
  const child = spawn(file, args, { env, stdio: [withInput ? 'inherit' : 'ignore', 'inherit', 'inherit'] });
  const stopPassing = passSignals(child);
  return new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) =>
      resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal])),
    );
  }).finally(stopPassing);
}

const keys: readonly NodeJS.Signals[] = ['SIGINT', 'SIGQUIT'];

/** Ctrl-C reaches the command by itself where both share a terminal; we only outlive it, however often it is pressed. */
function passSignals(child: ChildProcess): () => void {
  const shared = [0, 1, 2].some((fd) => isatty(fd));
  const pass = (signal: NodeJS.Signals): void => {
    if (!shared || !keys.includes(signal)) child.kill(signal);
  };
  const signals: readonly NodeJS.Signals[] = [...keys, 'SIGTERM', 'SIGHUP'];
  for (const signal of signals) process.on(signal, pass);
  return () => signals.forEach((signal) => process.off(signal, pass));
}
