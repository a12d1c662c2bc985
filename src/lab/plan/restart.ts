/** Whether and when a process that ended is started again: pods by their restartPolicy, mesh processes always. Pure. */
import { constants } from 'node:os';

/** A process that lived this long is taken to be healthy: its next end starts the delays anew. */
const healthyAfterMs = 60_000;
const firstDelayMs = 200;
const longestDelayMs = 10_000;

export interface RestartCount {
  /** Ends in quick succession, this one included. */
  readonly recent: number;
  readonly total: number;
}

export const restartsSoFar = (total: number): RestartCount => ({ recent: 0, total });

export const afterExit = (count: RestartCount, ranForMs: number): RestartCount => ({
  recent: ranForMs >= healthyAfterMs ? 1 : count.recent + 1,
  total: count.total + 1,
});

/** 0.2 s, doubled each time, at most 10 s: Kubernetes' shape at a pace a person can watch. */
export const restartDelayMs = (count: RestartCount): number =>
  Math.min(longestDelayMs, firstDelayMs * 2 ** Math.max(0, count.recent - 1));

/** A shell's exit status in words: a signal's name, or the exit code. */
export function howEnded(status: number): string {
  const signal = Object.entries(constants.signals).find(([, number]) => number === status - 128);
  return signal?.[0] ?? `exit code ${status}`;
}

export type RestartPolicy = 'Always' | 'OnFailure' | 'Never';

export function shouldRestart(policy: RestartPolicy, exitCode: number): boolean {
  switch (policy) {
    case 'Always':
      return true;
    case 'OnFailure':
      return exitCode !== 0;
    case 'Never':
      return false;
  }
}
