/** Tells a waiting person what goes on, and how long it took. */

/** One line; never a result. */
export type Progress = (line: string) => void;

const worthTellingMs = 2000;

/** Announces a step, runs it, and says how long it took when one had to wait for it. */
export async function step<T>(progress: Progress, what: string, work: () => Promise<T>): Promise<T> {
  const startedAt = performance.now();
  progress(what);
  const result = await work();
  const elapsedMs = performance.now() - startedAt;
  if (elapsedMs > worthTellingMs) progress(`${what}: ${seconds(elapsedMs)}`);
  return result;
}

export const seconds = (milliseconds: number): string => `${(milliseconds / 1000).toFixed(1)} s`;
