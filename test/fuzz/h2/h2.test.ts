/**
 * A million hostile inputs: the session may end the connection and must do nothing worse. The seed is fixed, so a red
 * run stays red; `FUZZ_SEED` and `FUZZ_RUNS` (a million is the default) give other and longer runs.
 */
import { describe, expect, it } from '@jest/globals';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const seed = process.env['FUZZ_SEED'] ?? '20261121';
const million = Number(process.env['FUZZ_RUNS'] ?? 1_000_000);

async function run(target: string, share: number): Promise<{ runs: number; megabytes: number }> {
  const runs = Math.ceil(share * million);
  const main = `${import.meta.dirname}/main.ts`;
  const { stdout } = await promisify(execFile)(process.execPath, [main, target, String(runs), seed]);
  return JSON.parse(stdout) as { runs: number; megabytes: number };
}

describe('any bytes from a peer', () => {
  it.each([
    ['a server takes mutated conversations', 'server-mutated', 0.2],
    ['a client takes mutated conversations', 'client-mutated', 0.2],
    ['a server takes frames that are nearly right', 'server-plausible', 0.15],
    ['a client takes frames that are nearly right', 'client-plausible', 0.15],
    ['a server takes random bytes', 'server-random', 0.05],
    ['a client takes random bytes', 'client-random', 0.05],
    ['frames decode the same however they are cut', 'decoder', 0.1],
    ['header blocks decode, or are called errors', 'hpack', 0.1],
  ])(
    '%s',
    async (_what, target, share) => {
      const { runs, megabytes } = await run(target, share);
      expect(runs).toBe(Math.ceil(share * million));
      expect(megabytes).toBeLessThan(300);
    },
    million,
  );
});
