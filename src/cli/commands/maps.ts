/** `maps`: the pinned BPF maps in names, not bytes. Reads the kernel, so it works while the agent is down. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { MeshError } from '../../base/errors.ts';
import { findRows } from '../../datapath/inspect/maps.ts';
import type { MapSummary } from '../../datapath/inspect/maps.ts';
import type { Row } from '../../datapath/inspect/rows.ts';
import { allMapSpecs } from '../../datapath/maps.ts';
import { type CommandContext, examples, type OutputOptions, withOutput, withPins } from '../command.ts';
import { type ExitCode, exitCodes, exitCodesHelp, worse } from '../exit-codes.ts';
import { type PinSelection, readKernels } from '../kernels.ts';
import { printNodeListing } from '../listing.ts';
import type { Cell, Column } from '../table.ts';

type Options = PinSelection & OutputOptions;
type DumpOptions = Options & { readonly where?: Condition };

interface Condition {
  readonly column: string;
  readonly value: string;
}

type Listed = MapSummary & { readonly node: string };
type Dumped = Row & { readonly node: string };

export function addMapsCommand(program: Command, context: CommandContext): void {
  const maps = program
    .command('maps')
    .description('list the BPF maps, and read their entries in names')
    .addHelpText('after', examples('maps list', 'maps dump destinations', 'maps get pods shop/web-1'))
    .addHelpText('after', exitCodesHelp);
  addList(maps, context);
  addDump(maps, context);
  addGet(maps, context);
}

function addList(maps: Command, context: CommandContext): void {
  const command = maps.command('list').description('list the maps: what each is for, how full it is');
  withOutput(withPins(command)).action(
    context.action(async (options: Options) => {
      const { items, unreachable } = await readKernels(context.env, options, (kernel, signal) =>
        kernel.maps(signal),
      );
      return printNodeListing<Listed>(context.screen(), options.output, {
        kind: 'MapList',
        rows: items,
        columns: listColumns,
        name: ({ name }) => name,
        unreachable,
        finding: (map) => !map.pinned || map.nearlyFull,
        empty: 'no map could be read',
      });
    }),
  );
}

function addDump(maps: Command, context: CommandContext): void {
  const command = maps
    .command('dump')
    .argument('<map>', `one of ${mapNames.join(', ')}`, parseMapName)
    .description('print every entry of a map')
    .addOption(new Option('--where <column=value>', 'only entries with this value').argParser(parseCondition))
    .addHelpText('after', examples('maps dump pods', 'maps dump flows --where pod=shop/web-1 -o json'));
  withOutput(withPins(command), ['table', 'wide', 'json', 'yaml']).action(
    context.action(
      async ({ where, ...options }: DumpOptions, [map = '']) =>
        await printEntries(context, options, map, (rows) =>
          where === undefined ? rows : rows.filter(satisfies(where)),
        ),
    ),
  );
}

function addGet(maps: Command, context: CommandContext): void {
  const command = maps
    .command('get')
    .argument('<map>', `one of ${mapNames.join(', ')}`, parseMapName)
    .argument('<key>', 'an address, a name or an id as the entries show it')
    .description('print the entries of a map in which something is this; exit status 1 if there is none')
    .addHelpText('after', examples('maps get destinations 10.96.0.1', 'maps get pods shop/web-1'));
  withOutput(withPins(command), ['table', 'wide', 'json', 'yaml']).action(
    context.action(async (options: Options, [map = '', key = '']) => {
      let found = 0;
      const code = await printEntries(context, options, map, (rows) => {
        const matching = findRows(rows, key);
        found += matching.length;
        return matching;
      });
      return found === 0 ? worse(code, exitCodes.findings) : code;
    }),
  );
}

async function printEntries(
  context: CommandContext,
  options: Options,
  map: string,
  select: (rows: readonly Row[]) => readonly Row[],
): Promise<ExitCode> {
  let total = 0;
  const { items, unreachable } = await readKernels(context.env, options, async (kernel, signal) => {
    const rows = await kernel.dump(map, signal);
    total += rows.length;
    return select(rows);
  });
  return printNodeListing<Dumped>(context.screen(), options.output, {
    kind: 'MapEntryList',
    extra: { map },
    rows: items,
    columns: entryColumns(items),
    name: () => map,
    unreachable,
    empty: total === 0 ? `${map} is empty` : `no such entry in ${map}, of ${total}`,
  });
}

const listColumns: readonly Column<Listed>[] = [
  { header: 'MAP', cell: ({ name }) => name },
  { header: 'NODE', cell: ({ node }) => node },
  { header: 'TYPE', cell: ({ type }) => type },
  { header: 'ENTRIES', cell: entriesCell, align: 'right' },
  { header: 'USED', cell: usedCell, align: 'right' },
  { header: 'PURPOSE', cell: ({ purpose }) => purpose, shrink: true },
  { header: 'WHEN FULL', cell: ({ whenFull }) => whenFull, wide: true },
];

function entriesCell({ entries, capacity, pinned }: Listed): Cell {
  if (!pinned) return { text: 'NOT PINNED', style: 'red' };
  return `${entries ?? 'unknown'}${capacity === undefined ? '' : `/${capacity}`}`;
}

function usedCell({ entries, capacity, nearlyFull }: Listed): Cell {
  if (entries === undefined || capacity === undefined) return '-';
  const text = `${Math.floor((entries / capacity) * 100)}%`;
  return nearlyFull ? { text: `${text}!`, style: 'red' } : text;
}

/** The columns an entry has, in the reader's order; the node's last, and only where there are several. */
function entryColumns(items: readonly Dumped[]): readonly Column<Dumped>[] {
  const names = [...new Set(items.flatMap((item) => Object.keys(item)))].filter((name) => name !== 'node');
  const several = new Set(items.map(({ node }) => node)).size > 1;
  return [...names, ...(several ? ['node'] : [])].map((name) => ({
    header: headerOf(name),
    cell: (item) => String(item[name] ?? ''),
    shrink: true,
  }));
}

/** `netnsCookie` → `NETNS COOKIE`. */
const headerOf = (name: string): string => name.replace(/[A-Z]/g, (letter) => ` ${letter}`).toUpperCase();

const mapNames = allMapSpecs.map(({ name }) => name);

function parseMapName(text: string): string {
  if (mapNames.includes(text)) return text;
  const similar = mapNames.filter((name) => name.startsWith(text.slice(0, 3)));
  throw new InvalidArgumentError(
    similar.length === 0 ? `Maps are ${mapNames.join(', ')}.` : `Did you mean ${similar.join(' or ')}?`,
  );
}

function parseCondition(text: string): Condition {
  const [, column, value] = /^(\w+)=(.*)$/.exec(text) ?? [];
  if (column === undefined || value === undefined) throw new InvalidArgumentError('Give COLUMN=VALUE.');
  return { column, value };
}

/** @throws MeshError INVALID_ARGUMENT for a column that entries of this map do not have. */
function satisfies({ column, value }: Condition): (row: Row) => boolean {
  return (row) => {
    const name = Object.keys(row).find((known) => known.toLowerCase() === column.toLowerCase());
    if (name === undefined) {
      throw new MeshError('INVALID_ARGUMENT', `entries have no column "${column}"`, {
        hint: `columns: ${Object.keys(row).join(', ')}`,
      });
    }
    return findRows([{ [name]: row[name] ?? '' }], value).length > 0;
  };
}
