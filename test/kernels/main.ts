/**
 * `make test-kernels`: the BPF programs and a small lab on the kernels that nodes run, each booted in qemu. The pieces:
 * `debian/` fetches kernels, `machine/` boots them and hears what they say, `steps.ts` and `bundle.ts` are what they are
 * to do, `machines.ts` splits it, `guest/` does it, `judge/` says what it means.
 */
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { asMeshError, MeshError } from '../../src/base/errors.ts';
import { mapLimited } from '../../src/base/map-limited.ts';
import { errorText } from '../../src/cli/error-text.ts';
import { allHooks } from '../../src/datapath/hooks.ts';
import { seconds } from '../cluster/machine/progress.ts';
import { bundleTests } from './bundle.ts';
import { kernelCache, readyKernel, type ReadyKernel } from './debian/cache.ts';
import { compileAll } from '../bpf/support/other-objects.ts';
import { documentedSkips, type Skips } from './judge/features.ts';
import { judgeKernel, type KernelResult } from './judge/result.ts';
import { renderMatrix, tally } from './judge/table.ts';
import { boot, type Run } from './machine/boot.ts';
import { splitOverMachines } from './machines.ts';
import { type Options, parseOptions, usage } from './options.ts';
import { follower } from './progress.ts';
import { type Step, stepsFor } from './steps.ts';

const root = join(import.meta.dirname, '..', '..');
const build = join(root, 'build', 'kernels');
const bundles = join(build, 'tests');
const objects = join(build, 'objects');
const resultsOf = ({ series }: ReadyKernel): string => join(build, series);

const progress = (line: string): void => {
  process.stderr.write(`  ${line}\n`);
};

async function run(options: Options, signal: AbortSignal): Promise<readonly KernelResult[]> {
  const skips = documentedSkips(await readFile(join(root, 'docs', 'kernels.md'), 'utf8'));
  await mkdir(build, { recursive: true });
  await bundleTests(root, options.tests, bundles);
  await rm(objects, { recursive: true, force: true });
  compileAll(objects);
  const machines = (await readyKernels(options, signal)).flatMap(machinesOf(options));
  const runs = await mapLimited(machines, options.parallel, (machine) =>
    runMachine(machine, options, signal),
  );
  return [...Map.groupBy(runs, ({ kernel }) => kernel)].map(([kernel, ofKernel]) =>
    judge(
      stepsOf(kernel, options),
      kernel,
      ofKernel,
      skips.get(kernel.series) ?? { features: [], tests: [] },
    ),
  );
}

async function readyKernels(options: Options, signal: AbortSignal): Promise<readonly ReadyKernel[]> {
  const ready: ReadyKernel[] = [];
  for (const kernel of options.kernels) {
    signal.throwIfAborted();
    const each = await readyKernel(kernel, { cache: kernelCache(), update: options.update, progress });
    await rm(resultsOf(each), { recursive: true, force: true });
    await mkdir(resultsOf(each));
    ready.push(each);
  }
  return ready;
}

interface Machine {
  readonly kernel: ReadyKernel;
  /** From 1 on, of its kernel. */
  readonly number: number;
  readonly steps: readonly Step[];
}

interface MachineRun extends Machine {
  readonly run: Run;
  readonly seconds: number;
}

const stepsOf = (kernel: ReadyKernel, { tests }: Options): readonly Step[] =>
  stepsFor(tests, { root, results: resultsOf(kernel), bundles, objects });

const machinesOf =
  (options: Options) =>
  (kernel: ReadyKernel): readonly Machine[] =>
    splitOverMachines(stepsOf(kernel, options)).map((steps, i) => ({ kernel, number: i + 1, steps }));

async function runMachine(machine: Machine, options: Options, signal: AbortSignal): Promise<MachineRun> {
  signal.throwIfAborted();
  const { kernel, number, steps } = machine;
  const { cpus, timeoutMinutes } = options;
  const name = `${kernel.series}/${number}`;
  const startedAt = performance.now();
  progress(`${name}: booting ${kernel.name} ${kernel.version}`);
  const ended = await boot(kernel, {
    root,
    results: resultsOf(kernel),
    machine: number,
    steps,
    cpus,
    timeoutMs: timeoutMinutes * 60_000,
    signal,
    heard: follower(name, progress),
  });
  const took = performance.now() - startedAt;
  progress(`${name}: ${ended.transcript.complete ? 'done' : 'ENDED TOO SOON'} after ${seconds(took)}`);
  return { ...machine, run: ended, seconds: took / 1000 };
}

const judge = (
  steps: readonly Step[],
  kernel: ReadyKernel,
  machines: readonly MachineRun[],
  documented: Skips,
): KernelResult =>
  judgeKernel({
    series: kernel.series,
    release: kernel.release,
    seconds: machines.reduce((sum, each) => sum + each.seconds, 0),
    steps,
    runs: machines.map((each) => each.run),
    file: (name) => readResult(join(resultsOf(kernel), name)),
    programNames: allHooks.map(({ program }) => program),
    documentedSkips: documented,
  });

function readResult(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

async function main(): Promise<number> {
  const options = parseOptions(process.argv.slice(2));
  if (options.help) {
    process.stdout.write(usage);
    return 0;
  }
  const stop = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.once(name, () => stop.abort(new MeshError('UNAVAILABLE', 'interrupted: the machine was ended')));
  }
  const startedAt = performance.now();
  const results = await run(options, stop.signal);
  const text = renderMatrix(results);
  await writeFile(join(build, 'report.json'), `${JSON.stringify(results, undefined, 2)}\n`);
  await writeFile(join(build, 'report.txt'), text);
  const { passed, failed } = tally(results);
  progress(`all of it took ${seconds(performance.now() - startedAt)}`);
  process.stdout.write(`\n${text}${passed} passed, ${failed} failed\n`);
  return failed === 0 ? 0 : 1;
}

try {
  process.exitCode = await main();
} catch (thrown) {
  process.stderr.write(`${errorText(asMeshError(thrown), (_, text) => text)}\n`);
  process.exitCode = 1;
}
