/**
 * Processes by pid and start time, so that a reused pid is never taken for the process that had it. The start time
 * is field 22 of /proc/PID/stat (proc_pid_stat(5)), in clock ticks since boot.
 */
import { readFileSync } from 'node:fs';
import type { Clock } from '../../base/clock.ts';

export interface ProcessRef {
  readonly pid: number;
  /** Opaque; compared for equality. */
  readonly startTime: string;
}

/** The process that has `pid` now; undefined when there is none, or only a zombie. */
export function processRef(pid: number): ProcessRef | undefined {
  const startTime = startTimeOf(pid);
  return startTime === undefined ? undefined : { pid, startTime };
}

export const isAlive = (ref: ProcessRef): boolean => startTimeOf(ref.pid) === ref.startTime;

/** The only child of a keeper: the program itself. Undefined while there is none. */
export function childOf({ pid }: ProcessRef): ProcessRef | undefined {
  try {
    const [child] = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ');
    return child === undefined || child === '' ? undefined : processRef(Number(child));
  } catch {
    return undefined;
  }
}

const askEveryMs = 250;

/** Settles soon after a process has ended that is not our child: nobody tells us, and how it ended is lost. */
export async function whenEnded(ref: ProcessRef, clock: Clock): Promise<void> {
  while (isAlive(ref)) await new Promise<void>((resolve) => clock.after(askEveryMs, resolve));
}

/** Sends a signal, unless the process is gone. */
export function signalProcess(ref: ProcessRef, signal: NodeJS.Signals): void {
  if (!isAlive(ref)) return;
  try {
    process.kill(ref.pid, signal);
  } catch {
    // It ended in this very moment.
  }
}

function startTimeOf(pid: number): string | undefined {
  try {
    return parseStartTime(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return undefined;
  }
}

/** The command's name stands in parentheses and may itself hold spaces and parentheses: fields count from the last one. */
export function parseStartTime(stat: string): string | undefined {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const state = fields[0];
  return state === 'Z' || state === 'X' ? undefined : fields[19];
}
