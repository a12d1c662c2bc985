/** One run of a pod's command, in the pod's namespaces and cgroup, its output appended to the pod's log. */
import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import type { Clock } from '../../base/clock.ts';
import type { Pod } from '../../kube/objects.ts';
import type { PodPaths } from '../layout.ts';
import { containerArgv } from '../plan/pod-files.ts';
import type { Environment } from '../plan/pod-files.ts';
import { killCgroup, makeCgroup } from '../system/cgroup.ts';
import { inCgroup, inDirectory, inPod } from '../system/enter.ts';
import type { Argv } from '../system/enter.ts';
import { processRef, signalProcess, whenEnded } from '../system/process.ts';
import type { ProcessRef } from '../system/process.ts';

export interface ContainerExit {
  /** 128 + the signal's number when a signal ended it, as shells have it. */
  readonly code: number;
  readonly ranForMs: number;
}

export interface ContainerSpec {
  readonly pod: Pod;
  readonly holder: ProcessRef;
  /** The pod's; the command gets its own below it, so that all it started can be ended with it. */
  readonly cgroup: string;
  readonly paths: PodPaths;
  readonly environment: Environment;
}

export interface RunningContainer {
  /** undefined when it could not even be started. */
  readonly process: ProcessRef | undefined;
  /** Settles when the command and everything it started have ended. */
  readonly exited: Promise<ContainerExit>;
  signal(signal: NodeJS.Signals): void;
}

/** undefined for a pod without a command: its holder is all there is. */
export async function startContainer(spec: ContainerSpec): Promise<RunningContainer | undefined> {
  const container = spec.pod.spec.containers[0];
  const command = container === undefined ? undefined : containerArgv(container, spec.environment);
  if (command === undefined) return undefined;
  const cgroup = cgroupOf(spec.cgroup);
  // What an earlier kubelet started in its last moment, and could not write down.
  await killCgroup(cgroup);
  await makeCgroup(cgroup);
  const placed = container?.workingDir === undefined ? command : inDirectory(container.workingDir, command);
  return launch(inCgroup(cgroup, inPod(spec.holder, placed)), cgroup, spec);
}

/** One that an earlier kubelet started, and that may have ended since. */
export const adoptContainer = (process: ProcessRef, podCgroup: string, clock: Clock): RunningContainer =>
  watched(
    process,
    cgroupOf(podCgroup),
    whenEnded(process, clock).then(() => unknownCode),
  );

const cgroupOf = (podCgroup: string): string => join(podCgroup, 'container');

/** As Kubernetes has it for a container that was lost. */
const unknownCode = 137;

function launch([file, ...args]: Argv, cgroup: string, spec: ContainerSpec): RunningContainer {
  const log = openSync(spec.paths.log, 'a');
  const child = spawn(file, args, { env: spec.environment, stdio: ['ignore', log, log], detached: true });
  closeSync(log);
  const ref = child.pid === undefined ? undefined : processRef(child.pid);
  const ended = new Promise<number>((resolve) => {
    child.once('error', () => resolve(126));
    child.once('exit', (code, signal) => resolve(code ?? 128 + signalNumber(signal)));
  });
  return watched(ref, cgroup, ended);
}

function watched(process: ProcessRef | undefined, cgroup: string, ended: Promise<number>): RunningContainer {
  const startedAt = performance.now();
  const exited = ended.then(async (code) => {
    await killCgroup(cgroup);
    return { code, ranForMs: performance.now() - startedAt };
  });
  return {
    process,
    exited,
    signal: (signal) => {
      if (process !== undefined) signalProcess(process, signal);
    },
  };
}

const signalNumber = (signal: NodeJS.Signals | null): number =>
  signal === null ? 0 : constants.signals[signal];
