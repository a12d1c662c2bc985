/** `status`: is the mesh well? One line for the whole, one a node, then what needs a person, and where to look next. */
import type { Command } from 'commander';
import type { Problem, StatusDocument } from '../../telemetry/admin-api.ts';
import { type CommandContext, examples, type ReadOptions, withNodes, withOutput } from '../command.ts';
import type { CliEnv } from '../env.ts';
import { type ExitCode, exitCodes, exitCodesHelp, worse } from '../exit-codes.ts';
import { formatAge, formatUntil, plural } from '../format.ts';
import { listDocument, reportUnreachable } from '../listing.ts';
import { type Answers, askNodes } from '../nodes.ts';
import { printDocument } from '../output.ts';
import { printable } from '../printable.ts';
import type { Screen } from '../screen.ts';
import { type Cell, type Column, renderTable } from '../table.ts';

export function addStatusCommand(program: Command, context: CommandContext): void {
  const command = program
    .command('status')
    .description('is the mesh well? nodes, pods, certificates and what needs attention')
    .addHelpText('after', examples('status', 'status --node node-a', 'status -o json'))
    .addHelpText('after', exitCodesHelp);
  withOutput(withNodes(command), ['table', 'wide', 'json', 'yaml']).action(
    context.action(async (options: ReadOptions) => {
      const request = { target: '/v1/status', kind: 'Status' } as const;
      const answers = await askNodes<StatusDocument>(context.env, options, request);
      const screen = context.screen();
      if (options.output === 'json' || options.output === 'yaml') {
        const document = listDocument('StatusList', { items: answers.documents }, answers.unreachable);
        printDocument(screen, options.output, document);
      } else {
        printStatus(context.env, screen, options.output === 'wide', answers);
      }
      return worse(verdict(answers.documents), reportUnreachable(screen, answers.unreachable));
    }),
  );
}

const isWell = (status: StatusDocument): boolean => status.health === 'ok' && status.problems.length === 0;

const verdict = (documents: readonly StatusDocument[]): ExitCode =>
  documents.every(isWell) ? exitCodes.clean : exitCodes.findings;

function printStatus(
  env: CliEnv,
  screen: Screen,
  wide: boolean,
  { documents, unreachable }: Answers<StatusDocument>,
): void {
  const asked = documents.length + unreachable.length;
  const well = unreachable.length === 0 && documents.every(isWell);
  screen.data(summary(env, screen, documents, { asked, well }));
  if (documents.length === 0) return;
  const now = env.clock.now();
  const shown = columns(now).filter((column) => column.wide !== true || wide);
  const lines = renderTable(shown, documents, { paint: screen.paint, columns: undefined });
  for (const line of lines) screen.data(line);
  for (const { node, problems } of documents) {
    for (const problem of problems) printProblem(screen, node, problem, now);
  }
  if (!well) screen.hint('next: mesh-ebpf doctor');
}

function summary(
  env: CliEnv,
  screen: Screen,
  documents: readonly StatusDocument[],
  { asked, well }: { readonly asked: number; readonly well: boolean },
): string {
  const sum = (pick: (status: StatusDocument) => number): number =>
    documents.reduce((total, status) => total + pick(status), 0);
  const versions = [...new Set(documents.map(({ version }) => version))].join(', ');
  const bad = documents.length === 0 ? screen.paint('yellow', 'unknown') : screen.paint('red', 'degraded');
  const state = well ? screen.paint('green', 'ok') : bad;
  const facts = [
    `${documents.length}/${plural(asked, 'node')}`,
    `${sum(({ pods }) => pods.enrolled)}/${sum(({ pods }) => pods.expected)} labelled pods enrolled`,
    plural(
      sum(({ connections }) => connections.live),
      'live connection',
    ),
    printable(`CLI ${env.version}, nodes ${versions === '' ? 'unknown' : versions}`),
  ];
  return `${screen.paint('bold', 'MESH')}  ${state}  ${facts.join(', ')}`;
}

function columns(now: number): readonly Column<StatusDocument>[] {
  return [
    { header: 'NODE', cell: ({ node }) => node },
    { header: 'STATE', cell: nodeState },
    { header: 'PODS', cell: ({ pods }) => `${pods.enrolled}/${pods.expected}` },
    { header: 'CONNECTIONS', cell: ({ connections }) => String(connections.live), align: 'right' },
    {
      header: 'TUNNELS',
      cell: ({ connections }) => `${connections.tunnelsOut} out, ${connections.tunnelsIn} in`,
    },
    { header: 'CA', cell: certificateAuthority },
    { header: 'NEXT EXPIRY', cell: ({ ca }) => nextExpiry(ca, now) },
    { header: 'UP', cell: ({ startedAt }) => formatAge(now - Date.parse(startedAt)) },
    { header: 'VERSION', cell: ({ version }) => version, wide: true },
    { header: 'KERNEL', cell: ({ kernel }) => kernel, wide: true },
    { header: 'SOURCE', cell: ({ source }) => objectSource(source, now), wide: true },
  ];
}

function objectSource({ name, state, lastEventAt }: StatusDocument['source'], now: number): Cell {
  const heard =
    lastEventAt === null ? 'never heard' : `heard ${formatAge(now - Date.parse(lastEventAt))} ago`;
  const text = `${name}: ${state}, ${heard}`;
  return state === 'live' ? text : { text, style: 'yellow' };
}

function nodeState(status: StatusDocument): Cell {
  if (!status.readiness.ready) {
    return { text: `not ready: ${status.readiness.pending.join(', ')}`, style: 'yellow' };
  }
  return isWell(status) ? { text: 'ok', style: 'green' } : { text: 'degraded', style: 'red' };
}

function certificateAuthority({ ca }: StatusDocument): Cell {
  switch (ca.state) {
    case 'ok':
      return { text: 'ok', style: 'green' };
    case 'unreachable':
      return { text: `unreachable: ${ca.message ?? 'reason unknown'}`, style: 'red' };
    case 'unknown':
      return 'not asked yet';
  }
}

const nextExpiry = ({ nextExpiry: next }: StatusDocument['ca'], now: number): string =>
  next === null
    ? '-'
    : `${formatUntil(next.notAfter, now)} (${next.identity.replace(/^spiffe:\/\/[^/]+\//, '')})`;

function printProblem(screen: Screen, node: string, problem: Problem, now: number): void {
  const since = problem.since === null ? '' : ` (for ${formatAge(now - Date.parse(problem.since))})`;
  screen.data(
    `${screen.paint('red', printable(node))}  ${printable(`${problem.subject}: ${problem.message}${since}`)}`,
  );
  if (problem.hint !== null) screen.data(printable(`  next: ${problem.hint}`));
}
