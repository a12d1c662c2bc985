/** What BPF programs do for a while, counted by the kernel because we ask it to. */
import { type AttachedProgram, countedBetween } from '../datapath/inspect/programs.ts';
import { abortError } from './abort-error.ts';
import type { CliEnv } from './env.ts';

/** @throws MeshError PERMISSION; UNAVAILABLE, TIMEOUT when `signal` aborts, after which nothing is counted any more */
export async function countRuns(
  { clock, datapath }: Pick<CliEnv, 'clock' | 'datapath'>,
  pinRoot: string,
  forMs: number,
  signal: AbortSignal,
): Promise<readonly AttachedProgram[]> {
  const stop = datapath.startCounting();
  try {
    const before = datapath.programs(pinRoot);
    await pause(clock, forMs, signal);
    return countedBetween(before, datapath.programs(pinRoot));
  } finally {
    stop();
  }
}

async function pause(clock: CliEnv['clock'], ms: number, signal: AbortSignal): Promise<void> {
  const abortion = (): Error => abortError('the kernel', signal, signal.reason);
  if (signal.aborted) throw abortion();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const abort = (): void => reject(abortion());
  const cancel = clock.after(ms, resolve);
  signal.addEventListener('abort', abort, { once: true });
  try {
    await promise;
  } finally {
    cancel();
    signal.removeEventListener('abort', abort);
  }
}
