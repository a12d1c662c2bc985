/** Durations that are worth seeing in the log of a run, and are no condition of a test. */
import { seconds } from '../machine/progress.ts';

export async function timed<T>(what: string, work: () => Promise<T>): Promise<T> {
  const startedAt = performance.now();
  const result = await work();
  process.stdout.write(`  cluster  ${what}: ${seconds(performance.now() - startedAt)}\n`);
  return result;
}
