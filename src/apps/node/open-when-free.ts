/** Waits for the node program before this one to let go of the kernel side: it may still be stopping. */
import type { Clock } from '../../base/clock.ts';
import { asMeshError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';

const askEveryMs = 50;
/** One that stops lets go within milliseconds; one that does not stop is no business of ours. */
const patienceMs = 10_000;

/** @throws what `open` throws: at once, unless another is in charge (ALREADY_EXISTS); then after ten seconds */
export async function openWhenFree<T>(open: () => Promise<T>, clock: Clock, log: Logger): Promise<T> {
  for (const deadline = clock.now() + patienceMs; ;) {
    try {
      return await open();
    } catch (thrown) {
      const { code, message } = asMeshError(thrown);
      if (code !== 'ALREADY_EXISTS' || clock.now() >= deadline) throw thrown;
      log.debug({ code }, `waiting: ${message}`);
    }
    await new Promise<void>((resolve) => clock.after(askEveryMs, resolve));
  }
}
