/**
 * Runs the whole test ladder (test/README.md) rung by rung and prints one line for each with its duration; the last
 * line is `N passed, N failed`. A check counts as one test; a jest rung counts its tests, and a skipped test counts
 * as failed: what cannot run must say so. Quiet, but for the files that take long, unless a rung fails or V=1.
 *
 * A rung on a real kernel and a real clock may run a file that failed once more, alone: what passes then is reported as
 * FLAKY with the output of its failure, never silently. RETRY=0 makes the first failure final.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { spawnGroup, type Watch } from './process-group.ts';

/** The part of `jest --json` that is read here. */
interface JestReport {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly numTodoTests: number;
  readonly numRuntimeErrorTestSuites: number;
  readonly testResults: readonly {
    readonly name: string;
    readonly status: string;
    readonly assertionResults: readonly { readonly fullName: string; readonly status: string }[];
  }[];
}

interface Rung {
  readonly name: string;
  readonly command: readonly string[];
  /** A jest project: its tests are counted one by one. */
  readonly jest?: boolean;
  /** Its tests depend on how busy the machine is: few failed files are run once more. */
  readonly retry?: boolean;
  /** May take minutes: what it says is shown as it comes. */
  readonly live?: boolean;
  /** Usually `mostMinutes`. */
  readonly minutes?: number;
}

interface Tally {
  readonly passed: number;
  readonly failed: number;
  /** Names of the tests that passed only when run again. */
  readonly flaky?: readonly string[];
}

/** What this file reads of jest's report. */
interface Report extends Tally {
  readonly failedFiles: readonly string[];
  readonly failedTests: readonly string[];
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
const onRealMachine = (name: string): Rung => ({ ...jest(name, name), retry: true });
const workers = (name: string): string => (name === 'unit' ? '--maxWorkers=2' : '--runInBand');

const ladder: readonly Rung[] = [
  npmScript('format', 'format:check'),
  npmScript('lint', 'lint'),
  npmScript('types', 'typecheck'),
  npmScript('imports', 'arch'),
  npmScript('deadcode', 'deadcode'),
  check('protocol', 'npm', 'run', '--silent', 'proto:check'),
  check('c-format', 'tools/check-c-format.sh'),
  check('build', 'make', 'bpf', 'native', 'cni', 'bundle'),
  jest('unit', 'unit', 'arch'),
  onRealMachine('contract'),
  onRealMachine('native'),
  check('sanitizers', 'native/sanitize.sh'),
  onRealMachine('bpf'),
  onRealMachine('netns'),
  onRealMachine('interop'),
  jest('fuzz', 'fuzz'),
  { ...npmScript('cluster-build', 'cluster', 'build'), live: true, minutes: 60 },
  check('image', 'make', 'image'),
  { ...onRealMachine('cluster'), minutes: 60 },
];

/** Minutes. Far more than any rung takes: one that hangs fails instead of holding up the others. */
const mostMinutes = 30;
/** A runner that has reported has nothing left to do: what keeps it alive is a leak, and no reason to wait. */
const lingerMs = 60_000;
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
  const started = Date.now();
  const { tally, output } = rung.jest === true ? await runJest(rung) : await runCheck(rung);
  const flaky = tally.flaky ?? [];
  if ((tally.failed > 0 || flaky.length > 0) && rung.live !== true) process.stdout.write(output);
  const verdict = tally.failed > 0 ? 'FAIL' : flaky.length > 0 ? 'FLAKY' : 'ok';
  const seconds = ((Date.now() - started) / 1000).toFixed(1).padStart(7);
  process.stdout.write(
    `  ${rung.name.padEnd(13)} ${verdict.padEnd(5)} ${seconds} s  ${tally.passed} passed, ${tally.failed} failed\n`,
  );
  for (const name of flaky) process.stdout.write(`    passed only when run again: ${name}\n`);
  process.stdout.write(measurements(output));
  return tally;
}

async function runCheck(rung: Rung): Promise<{ tally: Tally; output: string }> {
  const { status, output } = await run(rung, rung.command);
  return { tally: { passed: status === 0 ? 1 : 0, failed: status === 0 ? 0 : 1 }, output };
}

async function runJest(rung: Rung): Promise<{ tally: Tally; output: string }> {
  const first = await reported(rung);
  const { failedFiles, failedTests } = first.report;
  if (first.report.failed === 0 || !mayRunAgain(rung, first.report))
    return { tally: first.report, output: first.output };
  const second = await reported(rung, '--runTestsByPath', ...failedFiles);
  const output = `${first.output}\nrun again:\n${second.output}`;
  if (second.report.failed > 0) return { tally: first.report, output };
  return {
    tally: { passed: first.report.passed + first.report.failed, failed: 0, flaky: failedTests },
    output,
  };
}

/** More than two files at once is no accident; a failure without a failed test (a dead runner, a skip) never is one. */
function mayRunAgain(rung: Rung, { failed, failedFiles, failedTests }: Report): boolean {
  const wanted = rung.retry === true && process.env['RETRY'] !== '0';
  return wanted && failedFiles.length <= 2 && failedTests.length === failed;
}

async function reported(rung: Rung, ...extra: string[]): Promise<{ report: Report; output: string }> {
  const path = join(scratch, `${rung.name}.json`);
  rmSync(path, { force: true });
  const command = [...rung.command, '--json', `--outputFile=${path}`, ...extra];
  const { status, output } = await run(rung, command, lingering(path));
  return { report: readReport(path, status), output };
}

/** A runner that is ended counts as failed. */
function lingering(path: string): Watch {
  let reportedMs: number | undefined;
  return (aliveMs) => {
    if (existsSync(path)) reportedMs ??= aliveMs;
    const lingers = reportedMs !== undefined && aliveMs > reportedMs + lingerMs;
    return lingers ? `its tests ended ${lingerMs / 1000} s ago: something is still open` : undefined;
  };
}

/** What tests measured (`test/cluster/support/measure.ts`) is worth seeing on a good day too. */
function measurements(output: string): string {
  return output.match(/^ {2}measured {2}.*\n/gm)?.join('') ?? '';
}

/** What jest counted; a run that died, ran nothing, or skipped something is a failure, not a silence. */
function readReport(path: string, status: number): Report {
  const none: Report = { passed: 0, failed: 1, failedFiles: [], failedTests: [] };
  if (!existsSync(path)) return none;
  const report = JSON.parse(readFileSync(path, 'utf8')) as JestReport;
  const passed = report.numPassedTests;
  const failed =
    report.numFailedTests + report.numPendingTests + report.numTodoTests + report.numRuntimeErrorTestSuites;
  if (failed === 0 && (status !== 0 || passed === 0)) return { ...none, passed };
  const files = report.testResults.filter(({ status: of }) => of === 'failed');
  const tests = files
    .flatMap(({ assertionResults }) => assertionResults)
    .filter(({ status: of }) => of === 'failed');
  return {
    passed,
    failed,
    failedFiles: files.map(({ name }) => name),
    failedTests: tests.map(({ fullName }) => fullName),
  };
}

function run(
  { live, minutes = mostMinutes }: Rung,
  command: readonly string[],
  watch: Watch = () => undefined,
): Promise<{ status: number; output: string }> {
  const [file = '', ...args] = command;
  return new Promise((resolve) => {
    const child = spawnGroup(file, args, (aliveMs) => watch(aliveMs) ?? overdue(aliveMs, minutes));
    const isShown = live === true || Boolean(process.env['V']);
    let output = '';
    const keep = (chunk: Buffer): void => {
      if (isShown) process.stdout.write(chunk);
      else output += chunk.toString();
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    if (!isShown) createInterface({ input: child.stderr }).on('line', showProgress);
    child.on('error', (error) => resolve({ status: 127, output: `${file}: ${error.message}\n` }));
    child.on('close', (code) => resolve({ status: code ?? 1, output }));
  });
}

function overdue(aliveMs: number, minutes: number): string | undefined {
  return aliveMs > minutes * 60_000 ? `not done after ${minutes} minutes` : undefined;
}

/** Jest says how long a file took if that was long: these lines show that a rung of many minutes is alive. */
function showProgress(line: string): void {
  if (/^(?:PASS|FAIL) .*\d s\)$/.test(line)) process.stdout.write(`    ${line}\n`);
}
