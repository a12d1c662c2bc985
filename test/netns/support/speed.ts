/** How soon things happen, as pods see it: who knocks in a pod, policies as files, and what is told of the times. */
import { expect } from '@jest/globals';
import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Lab } from './lab.ts';
import { patience, until } from './wait.ts';

/** Far beyond what is wanted: others use the machine, too. */
const generousMs = 1_000 * patience;

/** As the lab's API server does: nobody sees half a file. */
export function put(lab: Lab, name: string, yaml: string): void {
  const staged = join(lab.layout.staging, name);
  writeFileSync(staged, yaml);
  renameSync(staged, join(lab.layout.objects, name));
}

export const putAway = (lab: Lab, name: string): void => rmSync(join(lab.layout.objects, name));

interface Said {
  readonly at: number;
  readonly answer: 'let in' | 'refused' | 'ended';
}

/** Hears a `knock.ts` in the pod that calls. */
export async function knocker(lab: Lab, from: string, to: string, ...mode: readonly string[]) {
  const script = new URL('pod/knock.ts', import.meta.url).pathname;
  const running = await lab.spawn(from, [process.execPath, script, lab.pod(to).ip4, '7001', ...mode]);
  const heard: Said[] = [];
  const lines = createInterface(running.child.stdout);
  lines.on('line', (line) => void heard.push(JSON.parse(line) as Said));
  const next = async (answer: Said['answer'], after: number): Promise<number> => {
    const find = (): Said | undefined => heard.find((said) => said.answer === answer && said.at >= after);
    await until(`a connection to be ${answer}`, async () => find() !== undefined);
    return (find()?.at ?? Number.NaN) - after;
  };
  const all = (answer: Said['answer']): readonly number[] =>
    heard.filter((said) => said.answer === answer).map(({ at }) => at);
  return { next, all, stop: () => running.child.stdin.end() };
}

export const now = (): number => performance.timeOrigin + performance.now();

/** Prints them, and fails where something is wrong and not only slow. */
export function report(what: string, times: readonly number[]): void {
  const sorted = times.toSorted((a, b) => a - b);
  const [p50, most] = [sorted[Math.floor(sorted.length / 2)] ?? Number.NaN, sorted.at(-1) ?? Number.NaN];
  process.stdout.write(`${what}: p50 ${p50.toFixed(0)} ms, most ${most.toFixed(0)} ms of ${times.length}\n`);
  expect(p50).toBeLessThan(generousMs);
}
