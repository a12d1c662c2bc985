/**
 * `make test-kernels`: the BPF programs and a small lab on the kernels that nodes run, each booted in qemu. The pieces:
 * `debian/` fetches kernels, `machine/` boots them and hears what they say, `steps.ts` and `bundle.ts` are what they are
 * to do, `guest/` does it, `judge/` says what it means.
 */
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { asMeshError, MeshError } from '../../src/base/errors.ts';
import { mapLimited } from '../../src/base/map-limited.ts';
import { errorText } from '../../src/cli/error-text.ts';
import { allHooks } from '../../src/datapath/hooks.ts';
import { bundleTests } from './bundle.ts';
import { kernelCache, readyKernel, type ReadyKernel } from './debian/cache.ts';
import { compileAll } from '../bpf/support/other-objects.ts';
import { documentedSkips, type Skips } from './judge/features.ts';
import { judgeKernel, type KernelResult } from './judge/result.ts';
import { renderMatrix, tally } from './judge/table.ts';
import { boot } from './machine/boot.ts';
import { type Options, parseOptions, usage } from './options.ts';
import { follower } from './progress.ts';
import { stepsFor } from './steps.ts';

const root = join(import.meta.dirname, '..', '..');
const build = join(root, 'build', 'kernels');
const bundles = join(build, 'tests');
const objects = join(build, 'objects');

const progress = (line: string): void => {
  process.stderr.write(`  ${line}\n`);
};

async function run(options: Options, signal: AbortSignal): Promise<readonly KernelResult[]> {
  const skips = documentedSkips(await readFile(join(root, 'docs', 'kernels.md'), 'utf8'));
  await mkdir(build, { recursive: true });
  await bundleTests(root, options.tests, bundles);
  await rm(objects, { recursive: true, force: true });
  compileAll(objects);
  const ready: ReadyKernel[] = [];
  for (const kernel of options.kernels) {
    signal.throwIfAborted();
    ready.push(await readyKernel(kernel, { cache: kernelCache(), update: options.update, progress }));
  }
  return await mapLimited(ready, options.parallel, async (kernel) => {
    signal.throwIfAborted();
    const result = await runKernel(
      kernel,
      options,
      skips.get(kernel.series) ?? { features: [], tests: [] },
      signal,
    );
    const how = result.problems.length === 0 ? 'ok' : 'FAILED';
    progress(`${kernel.series}: ${how} after ${result.seconds.toFixed(0)} s`);
    return result;
  });
}

async function runKernel(
  kernel: ReadyKernel,
  options: Options,
  skips: Skips,
  signal: AbortSignal,
): Promise<KernelResult> {
  const results = join(build, kernel.series);
  await rm(results, { recursive: true, force: true });
  await mkdir(results);
  const steps = stepsFor(options.tests, { root, results, bundles, objects });
  const startedAt = performance.now();
  progress(`${kernel.series}: booting ${kernel.name} ${kernel.version}`);
  const heard = follower(kernel.series, progress);
  const timeoutMs = options.timeoutMinutes * 60_000;
  const ended = await boot(kernel, { root, results, steps, cpus: options.cpus, timeoutMs, signal, heard });
  return judgeKernel({
    series: kernel.series,
    release: kernel.release,
    seconds: (performance.now() - startedAt) / 1000,
    steps,
    run: ended,
    file: (name) => readResult(join(results, name)),
    programNames: allHooks.map(({ program }) => program),
    documentedSkips: skips,
  });
}

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
  const results = await run(options, stop.signal);
  const text = renderMatrix(results);
  await writeFile(join(build, 'report.json'), `${JSON.stringify(results, undefined, 2)}\n`);
  await writeFile(join(build, 'report.txt'), text);
  const { passed, failed } = tally(results);
  process.stdout.write(`\n${text}${passed} passed, ${failed} failed\n`);
  return failed === 0 ? 0 : 1;
}

try {
  process.exitCode = await main();
} catch (thrown) {
  process.stderr.write(`${errorText(asMeshError(thrown), (_, text) => text)}\n`);
  process.exitCode = 1;
}
