/** A rung of the ladder that hangs: its runner is npm's child, and what keeps it alive may be that one's. */
import { expect, it } from '@jest/globals';
import { once } from 'node:events';
import { spawnGroup } from '../../../tools/process-group.ts';

it('ends with all that it started, when it is time', async () => {
  const ages: number[] = [];
  const child = spawnGroup('sh', ['-c', 'sleep 600 & wait; echo never'], (aliveMs) => {
    ages.push(aliveMs);
    return ages.length === 2 ? 'it is time' : undefined;
  });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  // Closed only when nobody has its output any more.
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null];
  expect([code, signal, output]).toEqual([null, 'SIGKILL', '']);
  expect(ages.length).toBe(2);
});

it('is left alone until then', async () => {
  const child = spawnGroup('sh', ['-c', 'exit 3'], () => undefined);
  expect(await once(child, 'close')).toEqual([3, null]);
});
