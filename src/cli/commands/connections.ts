/** `connections`: who talks to whom now, who did lately, and why what failed did; `-f` goes on as things happen. */
import { type Command, Option } from 'commander';
import { type ConnectionPath, connectionPaths } from '../../model/connection.ts';
import type { ConnectionItem, ConnectionsDocument, ConnectionsQuery } from '../../telemetry/admin-api.ts';
import { formatConnectionsQuery } from '../../telemetry/admin-query.ts';
import {
  type CommandContext,
  examples,
  type ReadOptions,
  withNamespace,
  withNodes,
  withOutput,
} from '../command.ts';
import { connectionColumns, type ConnectionRow } from '../connection-columns.ts';
import { type ExitCode, exitCodesHelp } from '../exit-codes.ts';
import { followConnections } from '../follow.ts';
import { printNodeListing } from '../listing.ts';
import { joinSides } from '../join-sides.ts';
import { type Answers, askNodes } from '../nodes.ts';
import type { Screen } from '../screen.ts';
import { parseCount, parseDuration, parsePod, type PodReference } from '../usage.ts';

interface ConnectionOptions extends ReadOptions {
  readonly namespace?: string;
  readonly pod?: PodReference;
  readonly failed?: boolean;
  readonly denied?: boolean;
  readonly dryRunDenied?: boolean;
  readonly live?: boolean;
  readonly path?: ConnectionPath;
  /** Milliseconds. */
  readonly since?: number;
  readonly limit: number;
  readonly follow?: boolean;
}

export function addConnectionsCommand(program: Command, context: CommandContext): void {
  const command = program
    .command('connections')
    .description('list live and recent connections, with the reason for what failed')
    .addOption(new Option('-p, --pod <pod>', 'of this pod or Deployment, on either side').argParser(parsePod))
    .option('--failed', 'only those that failed or were denied')
    .option('--denied', 'only those a policy refused')
    .option('--dry-run-denied', 'only those that policies in dry run would refuse')
    .addOption(
      new Option('--live', 'only those that are open').conflicts(['failed', 'denied', 'since', 'follow']),
    )
    .addOption(new Option('--path <path>', 'only those that went this way').choices(connectionPaths))
    .addOption(new Option('--since <duration>', 'only those open within this time').argParser(parseDuration))
    .addOption(new Option('-l, --limit <count>', 'newest of each node').argParser(parseCount).default(50))
    .option('-f, --follow', 'go on and show connections as they end; Ctrl-C stops')
    .addHelpText(
      'after',
      '\nWith -o table the two sides of a tunnel are one line; the other formats have a record from each node.',
    )
    .addHelpText(
      'after',
      examples(
        'connections -n shop',
        'connections --denied --since 10m',
        'connections --dry-run-denied -n shop',
        'connections -p shop/web-1 --failed -o wide',
        'connections -f -o json',
      ),
    )
    .addHelpText('after', exitCodesHelp);
  withNamespace(withOutput(withNodes(command))).action(
    context.action(async (options: ConnectionOptions) =>
      options.follow === true
        ? await followConnections(context, options, queryOf(context, options))
        : await list(context, options),
    ),
  );
}

async function list(context: CommandContext, options: ConnectionOptions): Promise<ExitCode> {
  const query = queryOf(context, options);
  const answers = await askNodes<ConnectionsDocument>(context.env, options, {
    target: `/v1/connections?${formatConnectionsQuery(query)}`,
    kind: 'ConnectionList',
  });
  const rows = answers.documents
    .flatMap(({ node, live, recent }) =>
      [...recent, ...live].map((item): ConnectionRow => ({ node, ...item })),
    )
    .toSorted((a, b) => endOf(a) - endOf(b));
  const shown = options.output === 'table' ? joinSides(rows) : rows;
  const screen = context.screen();
  const lost = answers.documents.reduce((sum, document) => sum + document.lost, 0);
  const code = printNodeListing(screen, options.output, {
    kind: 'ConnectionList',
    rows: shown,
    columns: connectionColumns(context.env.clock.now(), 'AGO', { dryRun: options.dryRunDenied }),
    name: ({ node, id }) => `connection/${node}/${id}`,
    extra: { lost },
    unreachable: answers.unreachable,
    empty: whyEmpty(options, answers),
  });
  sayLost(screen, lost);
  if (options.output === 'table') sayWhy(context, shown);
  return code;
}

/** The node filters: what it does not send need not be thrown away here. */
function queryOf({ env }: CommandContext, options: ConnectionOptions): ConnectionsQuery {
  const namespace = options.pod?.namespace ?? options.namespace;
  return {
    ...(namespace !== undefined && { namespace }),
    ...(options.pod !== undefined && { pod: options.pod.name }),
    ...(options.failed === true && { failed: true }),
    ...(options.denied === true && { denied: true }),
    ...(options.dryRunDenied === true && { dryRunDenied: true }),
    ...(options.since !== undefined && { since: env.clock.now() - options.since }),
    ...(options.path !== undefined && { path: options.path }),
    ...(options.live === true && { only: 'live' as const }),
    limit: options.limit,
  };
}

/** Live connections come last, then the ones that ended last. */
const endOf = (item: ConnectionItem): number =>
  item.durationMs === null ? Number.MAX_SAFE_INTEGER : Date.parse(item.openedAt) + item.durationMs;

const nothingSeen =
  'no connection went through these nodes yet; only those of enrolled pods do (mesh-ebpf workloads)';

function whyEmpty(options: ConnectionOptions, { documents }: Answers<ConnectionsDocument>): string {
  const seen = documents.reduce((sum, { last }) => sum + last, 0);
  if (seen === 0) return nothingSeen;
  if (options.dryRunDenied === true) {
    return `no policy in dry run would have refused any of ${seen} that these nodes have seen end`;
  }
  const asked = options.failed === true || options.denied === true ? 'none failed that way' : 'none matched';
  return `${asked}, of ${seen} that these nodes have seen end`;
}

/** About the last one that a policy refused. */
function sayWhy({ env, screen }: CommandContext, rows: readonly ConnectionRow[]): void {
  const denied = rows.findLast(({ outcome }) => outcome === 'denied');
  if (denied !== undefined)
    screen().hint(`one in detail: ${env.programName} why ${denied.node}/${denied.id}`);
}

function sayLost(screen: Screen, lost: number): void {
  if (lost > 0) screen.hint(`${lost} older records are forgotten already: nodes keep the last of each pod`);
}
