/**
 * `verdicts`: who may reach whom on the kernel path without ztunnel being asked, and by which policy. Reads the kernel,
 * so it works while the agent is down; then it cannot say the policy.
 */
import { type Command, Option } from 'commander';
import { type CommandContext, examples, type OutputOptions, withOutput, withPins } from '../command.ts';
import { type ExitCode, exitCodesHelp } from '../exit-codes.ts';
import { plural } from '../format.ts';
import { type PinSelection, readKernels } from '../kernels.ts';
import { printNodeListing } from '../listing.ts';
import type { KernelHandle } from '../node-handle.ts';
import type { Screen } from '../screen.ts';
import type { Cell, Column } from '../table.ts';
import { parseName } from '../usage.ts';
import { type EntryFilter, parseEnd, passes, verdictEntry } from '../verdicts/entries.ts';
import {
  type ExplainedEntries,
  type ExplainedEntry,
  explainEntries,
  maxAsked,
} from '../verdicts/policies.ts';

type Options = PinSelection & OutputOptions & EntryFilter;

/** What one node has, and what there is to say of it. */
interface NodeVerdicts extends ExplainedEntries {
  /** In its map, filtered out or not. */
  readonly total: number;
  /** Undefined: its version does not say. */
  readonly isOn: boolean | undefined;
}

type VerdictRow = ExplainedEntry & { readonly node: string };

export function addVerdictsCommand(program: Command, context: CommandContext): void {
  const command = program
    .command('verdicts')
    .description('list who may reach whom on the kernel path unasked, and which policy says so')
    .addOption(new Option('--source <pod>', 'only where this pod or address connects').argParser(parseEnd))
    .addOption(new Option('--destination <pod>', 'only to this pod or address').argParser(parseEnd))
    .addOption(
      new Option('-n, --namespace <name>', 'only where either end is in this namespace').argParser(parseName),
    )
    .addHelpText('after', explanation)
    .addHelpText(
      'after',
      examples(
        'verdicts',
        'verdicts --destination shop/cart-1 -o wide',
        'verdicts --source 10.244.1.5 -o json',
        'verdicts -n shop --node node-a',
      ),
    )
    .addHelpText('after', exitCodesHelp);
  withOutput(withPins(command), ['table', 'wide', 'json', 'yaml']).action(
    context.action(async (options: Options) => await list(context, options)),
  );
}

const explanation = `
In force: the kernel lets this pair connect by itself. Outdated: something changed since, and ztunnel is asked again.
The kernel does not keep why; the node program says it. An entry in force that policies deny is a finding.`;

async function list({ env, screen }: CommandContext, options: Options): Promise<ExitCode> {
  const { items, unreachable } = await readKernels(env, options, async (kernel, signal) => [
    await ofNode(kernel, signal),
  ]);
  const rows = items
    .flatMap(({ node, entries }) => entries.map((entry): VerdictRow => ({ node, ...entry })))
    .toSorted(byNames);
  const shown = screen();
  const code = printNodeListing<VerdictRow>(shown, options.output, {
    kind: 'KernelVerdictList',
    rows,
    columns,
    name: ({ source, destination, port }) => `${source} ${destination}:${port}`,
    unreachable,
    finding: isContradicted,
    empty: whyEmpty(items),
  });
  for (const one of items) sayUntold(shown, one);
  return code;

  async function ofNode(kernel: KernelHandle, signal: AbortSignal): Promise<NodeVerdicts> {
    const all = (await kernel.dump('verdicts', signal)).map(verdictEntry);
    const wanted = all.filter(passes(options));
    const explained = await explainEntries(env, kernel, wanted, { timeout: options.timeout, signal });
    return { ...explained, total: all.length, isOn: all.length > 0 ? true : await isOn(kernel, signal) };
  }
}

async function isOn(kernel: KernelHandle, signal: AbortSignal): Promise<boolean | undefined> {
  const [config] = await kernel.dump('config', signal);
  return config === undefined || !('kernelPath' in config) ? undefined : config['kernelPath'] === true;
}

function whyEmpty(nodes: readonly NodeVerdicts[]): string {
  const total = nodes.reduce((sum, node) => sum + node.total, 0);
  if (total > 0) return `none matched, of ${plural(total, 'verdict')}`;
  return nodes.every((node) => node.isOn === false)
    ? 'the kernel path is switched off: mesh-ebpf node --same-node kernel (docs/same-node.md)'
    : 'no pair of pods is on the kernel path yet: pods get a verdict when a Service leads to another one of their node, or when they dial it';
}

function sayUntold(
  screen: Screen,
  { node, unasked, silence }: NodeVerdicts & { readonly node: string },
): void {
  if (silence !== undefined) {
    screen.hint(`node ${node}: which policies allow cannot be told: ${silence.message}`);
  } else if (unasked > 0) {
    screen.hint(`node ${node}: policies are told of the first ${maxAsked}; ${unasked} more are in force`);
  }
}

/** The kernel lets pass what the node program would refuse. */
const isContradicted = ({ state, verdict }: VerdictRow): boolean =>
  state === 'in force' && verdict?.outcome === 'denied';

const byNames = (a: VerdictRow, b: VerdictRow): number => (sortKey(a) < sortKey(b) ? -1 : 1);
const sortKey = ({ node, source, destination, port }: VerdictRow): string =>
  [node, source, destination, String(port).padStart(5, '0')].join(' ');

const columns: readonly Column<VerdictRow>[] = [
  { header: 'SOURCE', cell: ({ source, sourceIp }) => endText(source, sourceIp), shrink: true },
  {
    header: 'DESTINATION',
    cell: ({ destination, destinationIp }) => endText(destination, destinationIp),
    shrink: true,
  },
  { header: 'PORT', cell: ({ port }) => String(port), align: 'right' },
  {
    header: 'STATE',
    cell: ({ state }) => ({ text: state, style: state === 'in force' ? 'green' : 'yellow' }),
  },
  { header: 'ALLOWED BY', cell: allowedBy, shrink: true },
  { header: 'NODE', cell: ({ node }) => node },
  { header: 'REASON', cell: ({ verdict }) => verdict?.reason ?? '-', wide: true },
];

const endText = (pod: string, ip: string): string => `${pod === '' ? '(left the mesh)' : pod} ${ip}`;

function allowedBy(row: VerdictRow): Cell {
  const { verdict } = row;
  if (verdict === null) return '-';
  if (isContradicted(row)) return { text: `DENIED by ${verdict.policy ?? verdict.reason}`, style: 'red' };
  return verdict.policy ?? verdict.reason;
}
