/** Bounded waiting for something to become true: the tests' only way to wait. */
import { setTimeout as delay } from 'node:timers/promises';

const askEveryMs = 25;

/**
 * Asks until the answer is not undefined and returns it.
 * @throws Error saying what was waited for, after `timeoutMs`
 */
export async function eventually<T>(
  what: string,
  ask: () => T | undefined | Promise<T | undefined>,
  timeoutMs = 20_000,
): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (Date.now() > deadline) throw new Error(`waited ${timeoutMs / 1000} s in vain for ${what}`);
    await delay(askEveryMs);
  }
}

/** The same for a condition. */
export const until = async (
  what: string,
  holds: () => boolean | Promise<boolean>,
  timeoutMs?: number,
): Promise<void> =>
  void (await eventually(what, async () => ((await holds()) ? true : undefined), timeoutMs));
