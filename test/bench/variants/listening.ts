/** Waits until something listens on a port inside a pod, by asking the kernel: nothing is dialled. */
import { setTimeout as delay } from 'node:timers/promises';
import type { LabPod } from '../lab.ts';
import { output } from '../process.ts';

const patienceMs = 20_000;

/** @throws Error when nothing listens in time */
export async function waitUntilListening(pod: LabPod, port: number, signal: AbortSignal): Promise<void> {
  const deadline = Date.now() + patienceMs;
  const ask = pod.command(['ss', '-Hltn', `sport = :${port}`]);
  while ((await output(ask, 5000, signal)).trim() === '') {
    if (Date.now() > deadline) throw new Error(`nothing listens on port ${port} of pod ${pod.name}`);
    await delay(100, undefined, { signal });
  }
}
