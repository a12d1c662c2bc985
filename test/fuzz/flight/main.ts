/**
 * Runs one target of the flight record's fuzzing: `node test/fuzz/flight/main.ts TARGET [RUNS [SEED]]`. A process of its
 * own, because plain Node is several times faster than a test's sandbox, and memory can be asked for.
 */
import { closeSync, mkdtempSync, openSync, rmSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Random, seededRandom } from '../random.ts';
import { checkFile, checkText } from './check.ts';
import { mutated, plausible, random, trueFile } from './inputs.ts';

const directory = mkdtempSync(join(tmpdir(), 'mesh-ebpf-flight-'));
const path = join(directory, 'connections.flight');

const onDisk = async (bytes: Buffer): Promise<void> => {
  writeFileSync(path, bytes);
  await checkFile(path);
};

const megabyte = 1024 * 1024;

/** As large as is read at all: one line without an end, zeros, and true lines again and again. */
async function large(source: Random): Promise<void> {
  const filling = source.pick([Buffer.alloc(megabyte, 'x'), Buffer.alloc(megabyte), trueFile]);
  const count = Math.floor((63 * megabyte) / filling.length);
  writeFileSync(path, trueFile);
  const file = openSync(path, 'a');
  for (let i = 0; i < count; i++) writeSync(file, filling);
  closeSync(file);
  if ((await checkFile(path)) !== 'read') throw new Error('a file of 63 MiB was refused');
  truncateSync(path, 65 * megabyte);
  if ((await checkFile(path)) !== 'refused') throw new Error('a file of 65 MiB was read');
}

const targets = new Map<string, (source: Random) => void | Promise<void>>([
  ['text-mutated', (source) => checkText(mutated(source))],
  ['text-plausible', (source) => checkText(plausible(source))],
  ['text-random', (source) => checkText(random(source))],
  ['file-mutated', async (source) => await onDisk(mutated(source))],
  ['file-random', async (source) => await onDisk(random(source))],
  ['file-large', large],
]);

const [name = '', runsText = '100000', seedText = '20261127'] = process.argv.slice(2);
const target = targets.get(name);
if (target === undefined)
  throw new Error(`no target "${name}"; there are: ${[...targets.keys()].join(', ')}`);
const [runs, seed] = [Number(runsText), Number(seedText)];
Error.stackTraceLimit = runs === 1 ? 20 : 0;
try {
  for (let i = 0; i < runs; i++) {
    try {
      await target(seededRandom(seed + i));
    } catch (cause) {
      const again = `node test/fuzz/flight/main.ts ${name} 1 ${seed + i}`;
      throw new Error(`input ${i} failed; repeat it with: ${again}`, { cause });
    }
  }
} finally {
  rmSync(directory, { recursive: true });
}
const megabytes = Math.ceil(process.resourceUsage().maxRSS / 1024);
process.stdout.write(`${JSON.stringify({ name, runs, seed, megabytes })}\n`);
