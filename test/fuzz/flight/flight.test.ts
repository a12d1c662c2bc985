/**
 * A hundred thousand flight records, random, cut off, with bits turned over, and with right checksums over wrong fields:
 * reading ends, throws nothing but its coded error, takes no line whose checksum is wrong, and takes nothing that it could
 * not write again. The seed is fixed; `FUZZ_SEED` and `FUZZ_RUNS` give other and longer runs.
 */
import { describe, expect, it } from '@jest/globals';
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { checkFile } from './check.ts';
import { trueFile } from './inputs.ts';

const seed = process.env['FUZZ_SEED'] ?? '20261127';
const inputs = Number(process.env['FUZZ_RUNS'] ?? 1_000_000) / 10;
const generousMs = 300_000;

const exec = promisify(execFile);

async function run(target: string, runs: number): Promise<{ runs: number; megabytes: number }> {
  const { stdout } = await exec(process.execPath, [
    `${import.meta.dirname}/main.ts`,
    target,
    String(runs),
    seed,
  ]);
  return JSON.parse(stdout) as { runs: number; megabytes: number };
}

describe('a flight record', () => {
  it.each([
    ['that was damaged', 'text-mutated', 0.5],
    ['with right checksums over wrong fields', 'text-plausible', 0.3],
    ['of random bytes', 'text-random', 0.1],
    ['that was damaged, on disk', 'file-mutated', 0.07],
    ['of random bytes, on disk', 'file-random', 0.03],
  ])(
    '%s is read to its end, and no line of it is believed without its checksum',
    async (_what, target, share) => {
      const runs = Math.ceil(share * inputs);
      expect(await run(target, runs)).toMatchObject({ runs });
    },
    generousMs,
  );

  it(
    'as large as one is read takes bounded memory, whatever is in it; a larger one is refused',
    async () => {
      const { megabytes } = await run('file-large', 3);
      expect(megabytes).toBeLessThan(450);
    },
    generousMs,
  );

  it('that is no file is refused, or none', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'mesh-ebpf-flight-'));
    try {
      const file = join(directory, 'file');
      writeFileSync(file, trueFile);
      mkdirSync(join(directory, 'directory'));
      symlinkSync(file, join(directory, 'link'));
      await exec('mkfifo', [join(directory, 'pipe')]);
      expect(await checkFile(file)).toBe('read');
      expect(await checkFile(join(directory, 'missing'))).toBe('read');
      for (const name of ['directory', 'link', 'pipe']) {
        expect(await checkFile(join(directory, name))).toBe('refused');
      }
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});
