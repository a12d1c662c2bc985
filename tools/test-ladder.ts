/**
 * Runs the whole test ladder (test/README.md) rung by rung and prints one line for each with its duration; the last
 * line is `N passed, N failed`. A check counts as one test; a jest rung counts its tests, and a skipped test counts
 * as failed: what cannot run must say so. Quiet unless a rung fails or V=1.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

interface Rung {
  readonly name: string;
  readonly command: readonly string[];
  /** A jest project: its tests are counted one by one. */
  readonly jest?: boolean;
  /** May take minutes: what it says is shown as it comes. */
  readonly live?: boolean;
}

interface Tally {
  readonly passed: number;
  readonly failed: number;
}

const check = (name: string, ...command: string[]): Rung => ({ name, command });
const npmScript = (name: string, script: string, ...args: string[]): Rung =>
  check(name, 'npm', 'run', '--silent', script, '--', ...args);
const jest = (name: string, ...projects: string[]): Rung => ({
  name,
  jest: true,
  // Tests that own kernel state (pins, cgroups, namespaces) must not run beside each other: one worker. Each rung has to
  // end by itself: what outlives its tests is a leak.
  command: ['npm', 'run', '--silent', 'jest', '--', workers(name), '--selectProjects', ...projects],
});
const workers = (name: string): string => (name === 'unit' ? '--maxWorkers=2' : '--runInBand');

const ladder: readonly Rung[] = [
  npmScript('format', 'format:check'),
  npmScript('lint', 'lint'),
  npmScript('types', 'typecheck'),
  npmScript('imports', 'arch'),
  npmScript('deadcode', 'deadcode'),
  check('protocol', 'npm', 'run', '--silent', 'proto:check'),
  check('kinds', 'npm', 'run', '--silent', 'crd:check'),
  check('c-format', 'tools/check-c-format.sh'),
  check('build', 'make', 'bpf', 'native', 'cni', 'bundle'),
  jest('unit', 'unit', 'arch'),
  jest('contract', 'contract'),
  jest('native', 'native'),
  check('sanitizers', 'native/sanitize.sh'),
  jest('bpf', 'bpf'),
  jest('netns', 'netns'),
  jest('interop', 'interop'),
  jest('fuzz', 'fuzz'),
  { ...npmScript('cluster-build', 'cluster', 'build'), live: true },
  check('image', 'make', 'image'),
  jest('cluster', 'cluster'),
];

/** Far more than any rung takes: one that hangs fails instead of holding up the others. */
const rungTimeoutMs = 60 * 60_000;
const scratch = mkdtempSync(join(tmpdir(), 'mesh-ebpf-ladder-'));
const only = process.argv.slice(2);
const total = { passed: 0, failed: 0 };

for (const rung of ladder.filter(({ name }) => only.length === 0 || only.includes(name))) {
  const { passed, failed } = await climb(rung);
  total.passed += passed;
  total.failed += failed;
}
rmSync(scratch, { recursive: true, force: true });
process.stdout.write(`${total.passed} passed, ${total.failed} failed\n`);
process.exitCode = total.failed === 0 && total.passed > 0 ? 0 : 1;

async function climb(rung: Rung): Promise<Tally> {
  const report = join(scratch, `${rung.name}.json`);
  const extra = rung.jest === true ? ['--json', `--outputFile=${report}`] : [];
  const started = Date.now();
  const { status, output } = await run([...rung.command, ...extra], rung.live === true);
  const tally =
    rung.jest === true
      ? readReport(report, status)
      : { passed: status === 0 ? 1 : 0, failed: status === 0 ? 0 : 1 };
  if (tally.failed > 0 && rung.live !== true) process.stdout.write(output);
  const verdict = tally.failed === 0 ? 'ok  ' : 'FAIL';
  const seconds = ((Date.now() - started) / 1000).toFixed(1).padStart(7);
  process.stdout.write(
    `  ${rung.name.padEnd(13)} ${verdict} ${seconds} s  ${tally.passed} passed, ${tally.failed} failed\n`,
  );
  process.stdout.write(measurements(output));
  return tally;
}

/** What tests measured (`test/cluster/support/measure.ts`) is worth seeing on a good day too. */
function measurements(output: string): string {
  return output.match(/^ {2}measured {2}.*\n/gm)?.join('') ?? '';
}

/** What jest counted; a run that died, ran nothing, or skipped something is a failure, not a silence. */
function readReport(path: string, status: number): Tally {
  try {
    const report = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
    const count = (key: string): number => Number(report[key] ?? 0);
    const passed = count('numPassedTests');
    const failed =
      count('numFailedTests') +
      count('numPendingTests') +
      count('numTodoTests') +
      count('numRuntimeErrorTestSuites');
    return { passed, failed: failed === 0 && (status !== 0 || passed === 0) ? 1 : failed };
  } catch {
    return { passed: 0, failed: 1 };
  }
}

function run(command: readonly string[], live: boolean): Promise<{ status: number; output: string }> {
  const [file = '', ...args] = command;
  return new Promise((resolve) => {
    const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'], timeout: rungTimeoutMs });
    let output = '';
    const keep = (chunk: Buffer): void => {
      if (live || process.env['V']) process.stdout.write(chunk);
      else output += chunk.toString();
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    child.on('error', (error) => resolve({ status: 127, output: `${file}: ${error.message}\n` }));
    child.on('close', (code) => resolve({ status: code ?? 1, output }));
  });
}
