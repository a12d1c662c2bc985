/**
 * `connections -f`: asks every node again and again for what ended since, and prints it. The sequence numbers of the
 * node's memory make sure that nothing is shown twice and that what was missed is counted.
 */
import { asMeshError } from '../base/errors.ts';
import { mapLimited } from '../base/map-limited.ts';
import type { ConnectionsDocument, ConnectionsQuery } from '../telemetry/admin-api.ts';
import { formatConnectionsQuery } from '../telemetry/admin-query.ts';
import type { CommandContext, ReadOptions } from './command.ts';
import { connectionColumns, type ConnectionRow } from './connection-columns.ts';
import { unreachableText } from './error-text.ts';
import { type ExitCode, exitCodes } from './exit-codes.ts';
import { reportUnreachable } from './listing.ts';
import { maxAskedAtOnce, type NodeHandle } from './node-handle.ts';
import { askNodes, getDocument } from './nodes.ts';
import { type OutputFormat, printJsonLine } from './output.ts';
import { printable } from './printable.ts';
import type { Screen } from './screen.ts';
import { renderTable } from './table.ts';

const pollEveryMs = 1000;
/** Records a node may send in one answer; more than it keeps. */
const everything = 1_000_000;

/** A node that is followed. */
interface Followed {
  readonly node: string;
  readonly handle: NodeHandle;
  /** Sequence number seen last; undefined before the first answer. */
  after: number | undefined;
  /** Its silence has been reported. */
  silent: boolean;
}

/** Ends with Ctrl-C, or when no node answers any more. */
export async function followConnections(
  context: CommandContext,
  options: ReadOptions,
  query: ConnectionsQuery,
): Promise<ExitCode> {
  const screen = context.screen();
  const nodes = await findNodes(context, screen, options);
  try {
    return await follow(context, options, query, nodes);
  } finally {
    for (const { handle } of nodes) handle.close();
  }
}

async function follow(
  context: CommandContext,
  options: ReadOptions,
  query: ConnectionsQuery,
  nodes: readonly Followed[],
): Promise<ExitCode> {
  const printer = rowPrinter(context.screen(), options.output);
  while (!context.env.interrupted.aborted) {
    const answers = await mapLimited(
      nodes,
      maxAskedAtOnce,
      async (node) => await poll(context, options, query, node),
    );
    if (context.env.interrupted.aborted) break;
    if (answers.every((answer) => answer === undefined)) return exitCodes.undecided;
    const rows = answers.flatMap((answer) => answer ?? []);
    printer(rows.toSorted((a, b) => (a.openedAt < b.openedAt ? -1 : 1)));
    await pause(context);
  }
  return exitCodes.clean;
}

async function findNodes(
  context: CommandContext,
  screen: Screen,
  options: ReadOptions,
): Promise<readonly Followed[]> {
  const { answered, unreachable } = await askNodes<ConnectionsDocument>(context.env, options, {
    target: '/v1/connections?only=live&limit=0',
    kind: 'ConnectionList',
  });
  reportUnreachable(screen, unreachable);
  return [...answered].map(([node, handle]) => ({ node, handle, after: undefined, silent: false }));
}

/** What ended at a node since it was asked last; undefined when it does not answer. */
async function poll(
  context: CommandContext,
  options: ReadOptions,
  query: ConnectionsQuery,
  node: Followed,
): Promise<readonly ConnectionRow[] | undefined> {
  const { after } = node;
  const asked: ConnectionsQuery = {
    ...query,
    only: 'recent',
    ...(after !== undefined && { after, limit: everything }),
  };
  try {
    const document = await getDocument<ConnectionsDocument>(context.env, node.handle, {
      target: `/v1/connections?${formatConnectionsQuery(asked)}`,
      kind: 'ConnectionList',
      timeout: options.timeout,
    });
    node.silent = false;
    return take(context.screen(), node, document);
  } catch (thrown) {
    if (!node.silent && !context.env.interrupted.aborted) {
      const { node: name, handle } = node;
      context.screen().hint(unreachableText({ node: name, where: handle.where, error: asMeshError(thrown) }));
    }
    node.silent = true;
    return undefined;
  }
}

function take(screen: Screen, node: Followed, document: ConnectionsDocument): readonly ConnectionRow[] {
  const restarted = node.after !== undefined && document.last < node.after;
  if (restarted) screen.hint(`node ${document.node} was restarted and counts anew`);
  const missed = node.after === undefined || restarted ? 0 : document.lost;
  if (missed > 0) screen.hint(`node ${document.node}: ${missed} records missed`);
  // After a restart everything it has is new: the next question has no lower bound.
  node.after = restarted ? 0 : document.last;
  return document.recent.map((item) => ({ node: document.node, ...item }));
}

/** Prints rows as they come; the header once. */
function rowPrinter(screen: Screen, format: OutputFormat): (rows: readonly ConnectionRow[]) => void {
  let headerShown = false;
  return (rows) => {
    if (format === 'json' || format === 'yaml') {
      for (const row of rows) printJsonLine(screen, row);
    } else if (format === 'name') {
      for (const { node, id } of rows) screen.data(printable(`connection/${node}/${id}`));
    } else if (rows.length > 0) {
      const columns = connectionColumns(0, 'TIME').filter(
        (column) => column.wide !== true || format === 'wide',
      );
      const lines = renderTable(columns, rows, { paint: screen.paint, columns: undefined });
      for (const line of headerShown ? lines.slice(1) : lines) screen.data(line);
      headerShown = true;
    }
  };
}

async function pause({ env: { clock, interrupted } }: CommandContext): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const wake = (): void => resolve();
  interrupted.addEventListener('abort', wake, { once: true });
  const cancel = clock.after(pollEveryMs, wake);
  if (!interrupted.aborted) await promise;
  cancel();
  interrupted.removeEventListener('abort', wake);
}
