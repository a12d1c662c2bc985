/** `why`: what became of one connection, told by both of its ends, and what would become of it now. */
import type { Command } from 'commander';
import { asMeshError, MeshError } from '../../base/errors.ts';
import { adminApiVersion, type ConnectionsDocument } from '../../telemetry/admin-api.ts';
import { formatConnectionsQuery } from '../../telemetry/admin-query.ts';
import { type CommandContext, examples, type ReadOptions, withNodes, withOutput } from '../command.ts';
import { type ExitCode, exitCodesHelp } from '../exit-codes.ts';
import type { ConnectionExplainer } from '../explain/explainer.ts';
import { nodeExplainer } from '../explain/node-explainer.ts';
import {
  type ConnectionReference,
  endsOf,
  parseConnectionReference,
  questionsAbout,
  type Recorded,
  rowsIn,
  theOne,
  told,
} from '../explain/recorded.ts';
import { compare, type Now, renderWhy } from '../explain/render-why.ts';
import { reportUnreachable } from '../listing.ts';
import type { Unreachable } from '../node-handle.ts';
import { type Answers, askNodes } from '../nodes.ts';
import { printDocument } from '../output.ts';

export function addWhyCommand(program: Command, context: CommandContext): void {
  const command = program
    .command('why')
    .argument(
      '<connection>',
      'its id or trace id as "connections" prints them, or the beginning of it; NODE/ID where nodes share one',
    )
    .description(
      'tell what became of a connection and which policy decided, and whether that would still be so',
    )
    .addHelpText('after', examples('why c-81f2', 'why connection/node-b/c-81f2', 'why 0af7651916cd -o json'))
    .addHelpText('after', exitCodesHelp);
  withOutput(withNodes(command), ['table', 'wide', 'json', 'yaml']).action(
    context.action(
      async (options: ReadOptions, [id = '']) => await why(context, options, parseConnectionReference(id)),
    ),
  );
}

async function why(
  context: CommandContext,
  options: ReadOptions,
  reference: ConnectionReference,
): Promise<ExitCode> {
  const { recorded, unreachable } = await find(context, options, reference);
  const explainer = await nodeExplainer(context.env, options);
  try {
    const { now, silent } = await tellNow(explainer, recorded);
    print(context, options, recorded, now);
    return reportUnreachable(context.screen(), distinct([...unreachable, ...silent]));
  } finally {
    explainer.close();
  }
}

interface Search {
  readonly recorded: Recorded;
  readonly unreachable: readonly Unreachable[];
}

/** Asks for the id; and then, by its trace id, for the other end. */
async function find(
  context: CommandContext,
  options: ReadOptions,
  reference: ConnectionReference,
): Promise<Search> {
  const first = await connectionsNamed(context, options, reference.id);
  const rows = rowsIn(first.documents);
  const found = chosen(context, first, () => theOne(rows, reference));
  const traceId = found.find((row) => row.traceId !== null)?.traceId ?? null;
  if (traceId === null || traceId.startsWith(reference.id))
    return { recorded: endsOf(found), unreachable: first.unreachable };
  const both = await connectionsNamed(context, options, traceId);
  return { recorded: endsOf(rowsIn(both.documents)), unreachable: both.unreachable };
}

/** Whoever was not reached may know it. */
function chosen<T>({ screen }: CommandContext, { unreachable }: Answers<unknown>, choose: () => T): T {
  try {
    return choose();
  } catch (thrown) {
    reportUnreachable(screen(), unreachable);
    const error = asMeshError(thrown);
    if (error.code !== 'NOT_FOUND' || unreachable.length === 0) throw error;
    throw new MeshError('UNAVAILABLE', `${error.message}, of those that answered`, { cause: error });
  }
}

const connectionsNamed = async (
  { env }: CommandContext,
  options: ReadOptions,
  id: string,
): Promise<Answers<ConnectionsDocument>> =>
  await askNodes<ConnectionsDocument>(env, options, {
    target: `/v1/connections?${formatConnectionsQuery({ id })}`,
    kind: 'ConnectionList',
  });

/** The source may be gone: then somebody like it is asked about. */
async function tellNow(
  explainer: ConnectionExplainer,
  recorded: Recorded,
): Promise<{ readonly now: Now; readonly silent: readonly Unreachable[] }> {
  let reason = '';
  for (const question of questionsAbout(recorded)) {
    try {
      const { explained, unreachable } = await explainer.explain(question);
      return { now: { explained }, silent: unreachable };
    } catch (thrown) {
      const error = asMeshError(thrown);
      reason = error.message;
      if (error.code !== 'NOT_FOUND') break;
    }
  }
  return { now: { reason }, silent: [] };
}

function print({ env, screen }: CommandContext, { output }: ReadOptions, recorded: Recorded, now: Now): void {
  const shown = screen();
  if (output === 'json' || output === 'yaml') {
    printDocument(shown, output, document(recorded, now));
    return;
  }
  const options = { paint: shown.paint, now: env.clock.now(), wide: output === 'wide' };
  for (const line of renderWhy(recorded, now, options)) shown.data(line);
}

const document = (recorded: Recorded, now: Now): object => ({
  apiVersion: adminApiVersion,
  kind: 'ConnectionExplanation',
  outbound: recorded.outbound ?? null,
  inbound: recorded.inbound ?? null,
  now: 'explained' in now ? now.explained : null,
  ...compare(told(recorded), now),
});

const distinct = (all: readonly Unreachable[]): readonly Unreachable[] => [
  ...new Map(all.map((one) => [one.node, one])).values(),
];
