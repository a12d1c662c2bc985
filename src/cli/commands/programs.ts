/** `programs`: which BPF programs are attached where, as the kernel says. Works while the agent is down. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { AttachedProgram } from '../../datapath/inspect/programs.ts';
import { type CommandContext, examples, type OutputOptions, withOutput, withPins } from '../command.ts';
import { exitCodesHelp } from '../exit-codes.ts';
import { maxCountMs } from '../inspect/protocol.ts';
import { type PinSelection, readKernels } from '../kernels.ts';
import { printNodeListing } from '../listing.ts';
import type { Screen } from '../screen.ts';
import type { Cell, Column } from '../table.ts';
import { tellTime } from '../tell-time.ts';
import { parseDuration } from '../usage.ts';

/** A program and the places it is attached to; in `wide`, one place a row. */
interface ProgramRow {
  readonly node: string;
  readonly program: string;
  readonly attachPoint: string;
  readonly purpose: string;
  readonly tag: string | null;
  readonly attached: number;
  readonly places: number;
  readonly targets: readonly string[];
  /** Targets it should be attached to and is not. */
  readonly missing: readonly string[];
  /** Decimal: 64 bits do not fit a JSON number. */
  readonly runs: string;
  readonly totalNs: string;
  readonly averageNs: number | null;
  /** Whether the kernel counts runs all the time; null: not known. */
  readonly counting: boolean | null;
}

interface ProgramsOptions extends PinSelection, OutputOptions {
  readonly stats?: boolean;
  /** Milliseconds. */
  readonly for?: number;
}

export function addProgramsCommand(program: Command, context: CommandContext): void {
  const command = program
    .command('programs')
    .description('list the BPF programs and where the kernel says they are attached')
    .option('--stats', 'how often each ran, and how long that took, as far as the kernel counted')
    .addOption(
      new Option('--for <duration>', 'with --stats: have the kernel count for so long, and tell that only')
        .argParser(parseCounting)
        .implies({ stats: true }),
    )
    .addHelpText('after', statisticsHelp)
    .addHelpText(
      'after',
      examples('programs', 'programs -o wide', 'programs --stats --for 5s', 'programs --node node-a -o json'),
    )
    .addHelpText('after', exitCodesHelp);
  withOutput(withPins(command)).action(
    context.action(async (options: ProgramsOptions) => {
      const { items, unreachable } = await readPrograms(context, options);
      const groups =
        options.output === 'table' ? [...Map.groupBy(items, keyOf).values()] : items.map((item) => [item]);
      const rows = groups.map(rowOf);
      const screen = context.screen();
      const code = printNodeListing(screen, options.output, {
        kind: 'ProgramList',
        rows,
        columns: options.stats === true ? statisticsColumns : columns,
        name: ({ program: name }) => name,
        unreachable,
        finding: ({ attached, places }) => attached < places,
        empty: 'no program is pinned',
      });
      if (options.for === undefined) sayWhatIsCounted(screen, rows, options.stats === true);
      return code;
    }),
  );
}

const statisticsHelp = `
The kernel counts runs while kernel.bpf_stats_enabled is 1, and for as long as --for says, which needs root on the node.
Counting costs each run some 20 ns; switch it off again.`;

const switchOn = 'sysctl -w kernel.bpf_stats_enabled=1, or for a while: programs --stats --for 5s';

async function readPrograms(context: CommandContext, options: ProgramsOptions) {
  const { env } = context;
  const { for: forMs } = options;
  if (forMs === undefined) {
    return await readKernels(env, options, (kernel, signal) => kernel.programs(signal));
  }
  const stopTelling = tellTime(env, forMs);
  try {
    const patient = { ...options, timeout: options.timeout + forMs };
    return await readKernels(env, patient, (kernel, signal) => kernel.runs(forMs, signal));
  } finally {
    stopTelling();
  }
}

function sayWhatIsCounted(screen: Screen, rows: readonly ProgramRow[], isAsked: boolean): void {
  if (rows.length === 0) return;
  if (rows.every(({ averageNs }) => averageNs === null)) {
    screen.hint(`the kernel counts no runs; switch it on with: ${switchOn}`);
  } else if (isAsked && rows.every(({ counting }) => counting === false)) {
    screen.hint(`the kernel counts no runs now, these are from before; switch it on with: ${switchOn}`);
  }
}

function parseCounting(text: string): number {
  const ms = parseDuration(text);
  if (ms >= 1 && ms <= maxCountMs) return ms;
  throw new InvalidArgumentError('Give a time of up to 1h.');
}

type Item = AttachedProgram & { readonly node: string };

const keyOf = ({ node, program, attachPoint }: Item): string => `${node} ${program} ${attachPoint}`;

function rowOf(items: readonly Item[]): ProgramRow {
  const [first] = items;
  const missing = items.filter(({ attached }) => !attached);
  return {
    node: first?.node ?? '',
    program: first?.program ?? '',
    attachPoint: first?.attachPoint ?? '',
    purpose: first?.purpose ?? '',
    tag: first?.tag ?? null,
    attached: items.length - missing.length,
    places: items.length,
    targets: items.map(({ target }) => target),
    missing: missing.map(({ target }) => target),
    // Of the program, wherever it is attached.
    runs: String(first?.runs ?? 0n),
    totalNs: String(first?.totalNs ?? 0n),
    counting: first?.isCounting ?? null,
    averageNs: items.find(({ averageNs }) => averageNs !== undefined)?.averageNs ?? null,
  };
}

const where: readonly Column<ProgramRow>[] = [
  { header: 'PROGRAM', cell: ({ program }) => program },
  { header: 'NODE', cell: ({ node }) => node },
  { header: 'HOOK', cell: ({ attachPoint }) => attachPoint },
  { header: 'ATTACHED', cell: attachedCell, shrink: true },
];
const runs: Column<ProgramRow> = { header: 'RUNS', cell: (row) => row.runs, align: 'right' };
const average: Column<ProgramRow> = {
  header: 'AVERAGE',
  cell: ({ averageNs }) => (averageNs === null ? '-' : `${averageNs} ns`),
  align: 'right',
};
const target: Column<ProgramRow> = { header: 'TARGET', cell: ({ targets }) => targets.join(','), wide: true };

const statisticsColumns: readonly Column<ProgramRow>[] = [
  ...where,
  runs,
  { header: 'TOTAL', cell: ({ totalNs }) => `${totalNs} ns`, align: 'right' },
  average,
  target,
];

const columns: readonly Column<ProgramRow>[] = [
  ...where,
  runs,
  average,
  { header: 'PURPOSE', cell: ({ purpose }) => purpose, shrink: true },
  target,
  { header: 'TAG', cell: ({ tag }) => tag ?? '-', wide: true },
];

function attachedCell({ attached, places, missing }: ProgramRow): Cell {
  if (attached === places) return { text: places === 1 ? 'yes' : `${attached}/${places}`, style: 'green' };
  const lacking = missing.filter((each) => each !== '').join(', ');
  return {
    text: places === 1 ? 'NO' : `${attached}/${places}${lacking === '' ? '' : `, not ${lacking}`}`,
    style: 'red',
  };
}
