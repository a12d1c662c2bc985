/** `lab status`: nodes, pods and Services as tables, or as one document. */
import type { Command } from 'commander';
import {
  type LabStatus,
  labStatus,
  type StatusNode,
  type StatusPod,
  type StatusService,
} from '../lab/commands/status.ts';
import { adminApiVersion } from '../telemetry/admin-api.ts';
import type { CommandContext, OutputOptions } from './command.ts';
import { examples, withOutput } from './command.ts';
import { type ExitCode, exitCodes } from './exit-codes.ts';
import { formatAge } from './format.ts';
import { labContext, type LabDeps } from './lab-context.ts';
import { type OutputFormat, printDocument } from './output.ts';
import { printable } from './printable.ts';
import type { Screen } from './screen.ts';
import { type Cell, type Column, renderTable } from './table.ts';

export function addLabStatus(lab: Command, context: CommandContext, deps: LabDeps): void {
  const status = lab
    .command('status')
    .description('nodes, pods and Services of the lab')
    .addHelpText('after', examples('lab status', 'lab status -o json'));
  withOutput(status, ['table', 'wide', 'json', 'yaml']).action(
    context.action(async ({ output }: OutputOptions) => {
      const screen = context.screen();
      const found = await labStatus(labContext(context.env, screen, deps));
      printLabStatus(screen, output, found, context.env.clock.now());
      return verdict(found);
    }),
  );
}

const isWell = ({ ready, phase }: StatusPod): boolean =>
  ready || phase === 'Succeeded' || phase === 'Terminating';

const isRunning = ({ processes }: StatusNode): boolean => processes.every(({ pid }) => pid !== null);

const verdict = ({ nodes, pods }: LabStatus): ExitCode =>
  nodes.every(isRunning) && pods.every(isWell) ? exitCodes.clean : exitCodes.findings;

export function printLabStatus(screen: Screen, format: OutputFormat, status: LabStatus, now: number): void {
  if (format === 'json' || format === 'yaml') {
    printDocument(screen, format, { apiVersion: adminApiVersion, kind: 'LabStatus', ...status });
    return;
  }
  const wide = format === 'wide';
  print(screen, wide, nodeColumns, status.nodes);
  print(screen, wide, podColumns(now), status.pods);
  print(screen, wide, serviceColumns, status.services);
  for (const pod of status.pods.filter(({ message, phase }) => message !== null && phase !== 'Succeeded')) {
    screen.hint(`${pod.namespace}/${pod.name}: ${pod.message}`);
  }
}

/** Tables are set apart by an empty line. */
function print<Row>(
  screen: Screen,
  wide: boolean,
  columns: readonly Column<Row>[],
  rows: readonly Row[],
): void {
  if (rows.length === 0) return;
  const shown = columns.filter((column) => column.wide !== true || wide);
  const lines = renderTable(shown, rows, { paint: screen.paint, columns: wide ? undefined : screen.columns });
  for (const line of lines) screen.data(line);
  screen.data('');
}

const nodeColumns: readonly Column<StatusNode>[] = [
  { header: 'NODE', cell: ({ name }) => name },
  { header: 'IP', cell: ({ ips }) => ips.join(' ') },
  { header: 'PODS', cell: ({ pods }) => `${pods.ready}/${pods.total} ready` },
  { header: 'PROCESSES', cell: nodeProcesses, shrink: true },
  { header: 'POD RANGES', cell: ({ podCIDRs }) => podCIDRs.join(' '), wide: true },
  { header: 'NETNS', cell: ({ netns }) => netns, wide: true },
];

function nodeProcesses(node: StatusNode): Cell {
  const text = node.processes
    .map(({ name, pid, restarts, lastExit }) => {
      const again = restarts === 0 ? '' : ` (${restarts} restarts, last ${lastExit ?? 'unknown'})`;
      return `${name} ${pid ?? 'NOT RUNNING'}${again}`;
    })
    .join(', ');
  return isRunning(node) ? text : { text, style: 'red' };
}

const podColumns = (now: number): readonly Column<StatusPod>[] => [
  { header: 'NAMESPACE', cell: ({ namespace }) => namespace },
  { header: 'POD', cell: ({ name }) => name },
  { header: 'STATE', cell: podState },
  { header: 'IN MESH', cell: inMesh },
  { header: 'NODE', cell: ({ node }) => node },
  { header: 'IP', cell: ({ ips }) => ips[0] ?? '' },
  { header: 'RESTARTS', cell: ({ restarts }) => String(restarts), align: 'right' },
  { header: 'AGE', cell: ({ createdAt }) => age(createdAt, now), align: 'right' },
  { header: 'IPV6', cell: ({ ips }) => ips[1] ?? '', wide: true },
  { header: 'SERVICE ACCOUNT', cell: ({ serviceAccount }) => serviceAccount, wide: true },
  { header: 'NETNS', cell: ({ netns }) => netns, wide: true },
];

const age = (createdAt: string | null, now: number): string =>
  createdAt === null ? '' : formatAge(now - Date.parse(createdAt));

function podState(pod: StatusPod): Cell {
  const { phase, ready, reason } = pod;
  const text = phase === 'Running' && !ready ? (reason ?? 'not ready') : phase;
  return { text: printable(text), style: isWell(pod) ? 'green' : phase === 'Failed' ? 'red' : 'yellow' };
}

function inMesh({ inMesh: state }: StatusPod): Cell {
  switch (state) {
    case 'yes':
      return { text: state, style: 'green' };
    case 'waiting':
      return { text: state, style: 'yellow' };
    case 'not labelled':
    case 'no mesh':
      return { text: `no: ${state}`, style: 'dim' };
  }
}

const serviceColumns: readonly Column<StatusService>[] = [
  { header: 'NAMESPACE', cell: ({ namespace }) => namespace },
  { header: 'SERVICE', cell: ({ name }) => name },
  { header: 'CLUSTER IP', cell: ({ ips }) => (ips.length === 0 ? 'none (headless)' : ips.join(' ')) },
  { header: 'PORTS', cell: ({ ports }) => ports.join(' ') },
  { header: 'ENDPOINTS', cell: ({ endpoints }) => `${endpoints.ready}/${endpoints.total} ready` },
];
