/**
 * Runs one fuzz target: `node test/fuzz/h2/main.ts TARGET [RUNS [SEED]]`. A process of its own, because plain Node is
 * several times faster than a test's sandbox, and a hang or a crash must not take the test runner with it.
 */
import { checkDecoder, checkHpack } from './check-codec.ts';
import { checkSession } from './check-session.ts';
import { type Role, mutated, plausible } from './inputs.ts';
import { type Random, seededRandom } from '../random.ts';

const sessionTargets = (role: Role): [string, (random: Random) => void][] => [
  [`${role}-mutated`, (random) => checkSession(role, random, mutated(role, random), random.below(10) > 0)],
  [`${role}-plausible`, (random) => checkSession(role, random, plausible(role, random), true)],
  [`${role}-random`, (random) => checkSession(role, random, random.bytes(random.below(100)), true)],
];

const targets = new Map<string, (random: Random) => void>([
  ...sessionTargets('server'),
  ...sessionTargets('client'),
  ['decoder', checkDecoder],
  ['hpack', checkHpack],
]);

const [name = '', runsText = '1000000', seedText = '20261121'] = process.argv.slice(2);
const target = targets.get(name);
const known = [...targets.keys()].join(', ');
if (target === undefined) throw new Error(`no target "${name}"; there are: ${known}`);
const runs = Number(runsText);
const seed = Number(seedText);
// Stack traces of violations would take most of the time; a single repeated input gets them.
Error.stackTraceLimit = runs === 1 ? 20 : 0;
for (let i = 0; i < runs; i++) {
  try {
    target(seededRandom(seed + i));
  } catch (cause) {
    throw new Error(`input ${i} failed; repeat it with: node test/fuzz/h2/main.ts ${name} 1 ${seed + i}`, {
      cause,
    });
  }
}
const { heapUsed, external } = process.memoryUsage();
process.stdout.write(
  `${JSON.stringify({ name, runs, seed, megabytes: Math.ceil((heapUsed + external) / 1e6) })}\n`,
);
