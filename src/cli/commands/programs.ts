/** `programs`: which BPF programs are attached where, as the kernel says. Works while the agent is down. */
import type { Command } from 'commander';
import type { AttachedProgram } from '../../datapath/inspect/programs.ts';
import { type CommandContext, examples, type OutputOptions, withOutput, withPins } from '../command.ts';
import { exitCodesHelp } from '../exit-codes.ts';
import { type PinSelection, readKernels } from '../kernels.ts';
import { printNodeListing } from '../listing.ts';
import type { Cell, Column } from '../table.ts';

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
  readonly averageNs: number | null;
}

export function addProgramsCommand(program: Command, context: CommandContext): void {
  const command = program
    .command('programs')
    .description('list the BPF programs and where the kernel says they are attached')
    .addHelpText('after', examples('programs', 'programs -o wide', 'programs --node node-a -o json'))
    .addHelpText('after', exitCodesHelp);
  withOutput(withPins(command)).action(
    context.action(async (options: PinSelection & OutputOptions) => {
      const { items, unreachable } = await readKernels(context.env, options, (kernel, signal) =>
        kernel.programs(signal),
      );
      const groups =
        options.output === 'table' ? [...Map.groupBy(items, keyOf).values()] : items.map((item) => [item]);
      const rows = groups.map(rowOf);
      const screen = context.screen();
      const code = printNodeListing(screen, options.output, {
        kind: 'ProgramList',
        rows,
        columns,
        name: ({ program: name }) => name,
        unreachable,
        finding: ({ attached, places }) => attached < places,
        empty: 'no program is pinned',
      });
      if (rows.length > 0 && rows.every(({ averageNs }) => averageNs === null)) screen.hint(noStatistics);
      return code;
    }),
  );
}

const noStatistics = 'the kernel counts no runs; switch it on with: sysctl -w kernel.bpf_stats_enabled=1';

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
    averageNs: items.find(({ averageNs }) => averageNs !== undefined)?.averageNs ?? null,
  };
}

const columns: readonly Column<ProgramRow>[] = [
  { header: 'PROGRAM', cell: ({ program }) => program },
  { header: 'NODE', cell: ({ node }) => node },
  { header: 'HOOK', cell: ({ attachPoint }) => attachPoint },
  { header: 'ATTACHED', cell: attachedCell, shrink: true },
  { header: 'RUNS', cell: ({ runs }) => runs, align: 'right' },
  {
    header: 'AVERAGE',
    cell: ({ averageNs }) => (averageNs === null ? '-' : `${averageNs} ns`),
    align: 'right',
  },
  { header: 'PURPOSE', cell: ({ purpose }) => purpose, shrink: true },
  { header: 'TARGET', cell: ({ targets }) => targets.join(','), wide: true },
  { header: 'TAG', cell: ({ tag }) => tag ?? '-', wide: true },
];

function attachedCell({ attached, places, missing }: ProgramRow): Cell {
  if (attached === places) return { text: places === 1 ? 'yes' : `${attached}/${places}`, style: 'green' };
  const where = missing.filter((target) => target !== '').join(', ');
  return {
    text: places === 1 ? 'NO' : `${attached}/${places}${where === '' ? '' : `, not ${where}`}`,
    style: 'red',
  };
}
