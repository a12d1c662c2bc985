/**
 * `make bench`: measures the project beside its peers on this machine, in one run, and prints a table. The pieces:
 * `variants/` carry connections, `rows/` measure them, `rounds.ts` takes turns, `targets.ts` and `report.ts` judge and
 * show. Everything that is started is ended again, also at Ctrl-C.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Facts, gatherFacts } from './facts.ts';
import { reasonOf, runBench } from './frame.ts';
import { labPod, root, startLab } from './lab.ts';
import { enlarge } from './large-mesh.ts';
import { LoadTool } from './load/load.ts';
import { benchManifest, podPair } from './manifest.ts';
import { type Options, parseOptions, usage } from './options.ts';
import { type Report, renderReport } from './report.ts';
import { collect } from './results.ts';
import { type Outcome, stepsOf, takeSteps } from './rounds.ts';
import { allRows } from './rows/all.ts';
import { describeSample } from './rows/row.ts';
import { judge } from './targets.ts';
import { startVariant } from './variants/start.ts';
import { type Variant, variantIds } from './variants/variant.ts';

const progress = (line: string): void => {
  process.stderr.write(`  ${line}\n`);
};

async function run(options: Options, signal: AbortSignal): Promise<Report> {
  await using cleanup = new AsyncDisposableStack();
  const scratch = mkdtempSync(join(tmpdir(), 'mesh-ebpf-bench-'));
  cleanup.defer(() => rmSync(scratch, { recursive: true, force: true }));
  const facts = await gatherFacts(options.ztunnel);
  const load = await LoadTool.build(join(root, 'build', 'tools'));
  const manifest = join(scratch, 'lab.yaml');
  writeFileSync(manifest, benchManifest(pairs, load.path));
  cleanup.use(await startLab(manifest, { progress, signal }));
  const { variants, problems } = await startVariants(options, scratch, signal, cleanup);
  const { ip: unmeshedHost } = await labPod(podPair('none').namespace, podPair('none').server);
  const { rows, rounds, seconds } = options;
  const context = { load, seconds, unmeshedHost, signal };
  const take = async (chosen: readonly Variant[]): Promise<Outcome> =>
    await takeSteps(stepsOf({ rows, variants: chosen, rounds }), context, {
      progress,
      describe: describeSample,
    });
  const large = variants.filter(({ id }) => id === 'node-large');
  const outcome = await take(variants.filter((variant) => !large.includes(variant)));
  const after = large.length === 0 ? nothing : await inLargeMesh(async () => await take(large), signal);
  return reportOf(options, facts, {
    measurements: [...outcome.measurements, ...after.measurements],
    problems: [...problems, ...outcome.problems, ...after.problems],
  });
}

const nothing: Outcome = { measurements: [], problems: [] };

async function inLargeMesh(take: () => Promise<Outcome>, signal: AbortSignal): Promise<Outcome> {
  try {
    await using around = await enlarge({ progress, signal });
    void around;
    return await take();
  } catch (error) {
    signal.throwIfAborted();
    return { measurements: [], problems: [reasonOf(error)] };
  }
}

/** Of all variants; some share one. */
const pairs = [...new Map(variantIds.map(podPair).map((pair) => [pair.client, pair])).values()];

/** A variant that does not start is a problem of its own; the others are measured all the same. */
async function startVariants(
  { variants: ids, ztunnel }: Options,
  scratch: string,
  signal: AbortSignal,
  cleanup: AsyncDisposableStack,
): Promise<{ readonly variants: readonly Variant[]; readonly problems: readonly string[] }> {
  const variants: Variant[] = [];
  const problems: string[] = [];
  for (const id of ids) {
    const directory = join(scratch, id);
    mkdirSync(directory);
    const { namespace, client, server } = podPair(id);
    try {
      progress(`starting ${id}`);
      const pods = { client: await labPod(namespace, client), server: await labPod(namespace, server) };
      variants.push(cleanup.use(await startVariant(id, { ...pods, directory, signal }, ztunnel)));
    } catch (error) {
      signal.throwIfAborted();
      problems.push(`${id} did not start: ${reasonOf(error)}`);
      progress(problems.at(-1) ?? '');
    }
  }
  return { variants, problems };
}

function reportOf(options: Options, facts: Facts, { measurements, problems }: Outcome): Report {
  const rows = collect(options.rows, measurements);
  const { rounds, seconds: secondsEach, variants } = options;
  const method = `medians of ${rounds} interleaved rounds, ${secondsEach} s each; CPU is user+system of the proxies of both sides`;
  return { facts, method, rounds, secondsEach, variants, rows, targets: judge(rows), problems };
}

await runBench({
  name: 'bench',
  parse: (argv) => parseOptions(argv, allRows, process.env['ZTUNNEL'] || undefined),
  usage: usage(allRows),
  run,
  render: renderReport,
});
