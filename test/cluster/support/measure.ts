/** Figures that are worth seeing and are no condition of a test: `make test` shows these lines on a good day too. */
import { seconds } from '../machine/progress.ts';

export const measured = (what: string, value: string | number): void => {
  process.stdout.write(`  measured  ${what}: ${value}\n`);
};

/** Says how long `work` took. */
export async function timed<T>(what: string, work: () => Promise<T>): Promise<T> {
  const startedAt = performance.now();
  const result = await work();
  measured(what, seconds(performance.now() - startedAt));
  return result;
}
