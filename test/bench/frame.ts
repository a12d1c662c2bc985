/** What every bench is wrapped in: its command line, the right to run, Ctrl-C, and where its report goes. */
import { writeFileSync } from 'node:fs';

export interface Bench<Options extends BenchOptions, Report extends BenchReport> {
  readonly name: string;
  /** @throws Error with a sentence for the user */
  readonly parse: (argv: readonly string[]) => Options;
  readonly usage: string;
  readonly run: (options: Options, signal: AbortSignal) => Promise<Report>;
  readonly render: (report: Report) => string;
}

interface BenchOptions {
  readonly help: boolean;
  readonly json: string | undefined;
}

interface BenchReport {
  /** What could not be measured. */
  readonly problems: readonly string[];
}

/** Sets the process's exit code: 1 when something could not be measured. A missed target is a result. */
export async function runBench<Options extends BenchOptions, Report extends BenchReport>(
  bench: Bench<Options, Report>,
): Promise<void> {
  try {
    process.exitCode = await measured(bench);
  } catch (error) {
    process.stderr.write(`${bench.name}: ${reasonOf(error)}\n`);
    process.exitCode = 1;
  }
}

async function measured<Options extends BenchOptions, Report extends BenchReport>({
  parse,
  usage,
  run,
  render,
}: Bench<Options, Report>): Promise<number> {
  const options = parse(process.argv.slice(2));
  if (options.help) {
    process.stdout.write(usage);
    return 0;
  }
  if (process.getuid?.() !== 0) throw new Error('the bench makes network namespaces: it needs root');
  const report = await run(options, interrupted());
  if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(report, undefined, 2)}\n`);
  process.stdout.write(`\n${render(report)}`);
  return report.problems.length === 0 ? 0 : 1;
}

function interrupted(): AbortSignal {
  const stop = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.once(name, () => stop.abort(new Error('interrupted; everything is cleaned up')));
  }
  return stop.signal;
}

export const reasonOf = (thrown: unknown): string =>
  thrown instanceof Error ? thrown.message : String(thrown);
