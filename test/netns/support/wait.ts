/** Bounded waiting for something to become true: the tests' only way to wait. */
import { setTimeout as delay } from 'node:timers/promises';

/** How many times as long everything may take: an emulated machine is slower than any busy one. */
export const patience = Number(process.env['MESH_EBPF_PATIENCE'] ?? 1);

/** Where asking itself takes long, it is to leave most of the machine to what is waited for. */
const askEveryMs = patience > 1 ? 100 : 25;

/**
 * Asks until the answer is not undefined and returns it.
 * @throws Error saying what was waited for, after `timeoutMs` (times `patience`)
 */
export async function eventually<T>(
  what: string,
  ask: () => T | undefined | Promise<T | undefined>,
  timeoutMs = 20_000,
): Promise<T> {
  const deadline = Date.now() + timeoutMs * patience;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (Date.now() > deadline)
      throw new Error(`waited ${(timeoutMs * patience) / 1000} s in vain for ${what}`);
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
