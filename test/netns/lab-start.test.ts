/** Two people, or two scripts, on one machine: there can be one lab, and who comes second must not harm the first. */
import { afterEach, describe, expect, it } from '@jest/globals';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { cli } from './support/cli.ts';
import { Lab, patienceMs } from './support/lab.ts';
import { namespace, pod, serverPod } from './support/manifest.ts';
import type { Finished } from './support/pod-process.ts';

const directory = mkdtempSync(join(tmpdir(), 'mesh-netns-'));
let mine = false;

afterEach(async () => {
  if (mine) await Lab.down();
  rmSync(directory, { recursive: true });
});

/** Several starts at once, again and again while somebody else's lab is in the way of all of them. */
async function race(starts: number): Promise<readonly Finished[]> {
  const file = join(directory, 'lab.yaml');
  const manifests = [
    namespace('shop', 'ambient'),
    pod('shop/web', { node: 'node-a' }),
    serverPod('shop/cart', { node: 'node-b' }),
  ];
  writeFileSync(file, manifests.join(''));
  for (const deadline = Date.now() + patienceMs; ; await delay(2000)) {
    const ends = await Promise.all(
      Array.from({ length: starts }, () => cli(['lab', 'up', '-f', file, '--wait'])),
    );
    mine = ends.some(({ code }) => code === 0);
    if (mine || Date.now() > deadline) return ends;
  }
}

describe('several starts of a lab at once', () => {
  it(
    'give one lab that works; the others are told, and harm nothing',
    async () => {
      const ends = await race(4);
      const refused = ends.filter(({ code }) => code !== 0);
      expect(refused).toHaveLength(3);
      for (const { stderr } of refused) {
        expect(stderr).toMatch(/^error: a lab is (just being started|running already)\n[^]*ALREADY_EXISTS/);
      }
      const lab = await Lab.attach();
      expect(await lab.greets('shop/web', lab.pod('shop/cart').ip4)).toBe(true);
    },
    patienceMs + 90_000,
  );
});
