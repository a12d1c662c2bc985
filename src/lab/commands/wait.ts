/** Waiting for the lab to get somewhere: asks again and again, tells what is missing, gives up in time. */
import { setTimeout as delay } from 'node:timers/promises';
import { MeshError } from '../../base/errors.ts';
import type { LabContext } from './context.ts';

const askEveryMs = 20;
/** However slow the machine, asking is to leave most of it to what is waited for. */
const restAfterAsking = { times: 4, mostMs: 1000 } as const;
const tellEveryMs = 2000;

export interface Waiting {
  readonly timeoutMs: number;
  /** What is still missing, for people; undefined when there is nothing to wait for any more. */
  readonly missing: () => Promise<string | undefined>;
}

/** @throws MeshError TIMEOUT with what was missing last; UNAVAILABLE when interrupted. */
export async function waitFor(context: LabContext, { timeoutMs, missing }: Waiting): Promise<void> {
  const startedAt = context.clock.now();
  let tellAt = startedAt + tellEveryMs;
  for (;;) {
    const askedAt = context.clock.now();
    const reason = await missing();
    if (reason === undefined) return;
    const now = context.clock.now();
    if (now - startedAt >= timeoutMs) {
      throw new MeshError('TIMEOUT', `after ${timeoutMs / 1000} s: ${reason}`, {
        hint: 'mesh-ebpf lab status',
      });
    }
    if (now >= tellAt) {
      context.progress(reason);
      tellAt = now + tellEveryMs;
    }
    await delay(restMs(now - askedAt));
    if (context.signal.aborted) throw new MeshError('UNAVAILABLE', `interrupted: ${reason}`);
  }
}

const restMs = (askingMs: number): number =>
  Math.max(askEveryMs, Math.min(restAfterAsking.times * askingMs, restAfterAsking.mostMs));
