/** `version`: of this program, and of the nodes of this machine if any answers. */
import type { Command } from 'commander';
import { asMeshError } from '../../base/errors.ts';
import type { StatusDocument } from '../../telemetry/admin-api.ts';
import { type CommandContext, type ReadOptions, withNodes, withOutput } from '../command.ts';
import { exitCodes } from '../exit-codes.ts';
import { reportUnreachable } from '../listing.ts';
import { type Answers, askNodes } from '../nodes.ts';
import { printDocument } from '../output.ts';
import { printable } from '../printable.ts';

interface Options extends ReadOptions {
  readonly client?: boolean;
}

export function addVersionCommand(program: Command, context: CommandContext): void {
  const command = program
    .command('version')
    .description('show the version of this program and of the nodes')
    .option('--client', 'of this program only; asks nobody');
  withOutput(withNodes(command), ['table', 'json', 'yaml']).action(
    context.action(async (options: Options) => {
      const { env } = context;
      const nodes = options.client === true ? nobody : await versions(context, options);
      const screen = context.screen();
      reportUnreachable(screen, nodes.unreachable);
      const client = { version: env.version, ...env.platform };
      const items = nodes.documents.map(({ node, version, kernel }) => ({ node, version, kernel }));
      if (options.output === 'json' || options.output === 'yaml') {
        printDocument(screen, options.output, { client, nodes: items });
        return exitCodes.clean;
      }
      screen.data(
        `mesh-ebpf ${client.version} (Node ${client.node}, Linux ${client.kernel}, ${client.machine})`,
      );
      for (const { node, version, kernel } of items) {
        screen.data(printable(`node ${node}: ${version} (Linux ${kernel})`));
        if (version !== env.version) screen.hint(`node ${node} and this program differ in version`);
      }
      return exitCodes.clean;
    }),
  );
}

const nobody: Answers<StatusDocument> = { documents: [], answered: new Map(), unreachable: [] };

/** To know one's own version no node is needed. */
async function versions({ env, screen }: CommandContext, options: Options): Promise<Answers<StatusDocument>> {
  try {
    return await askNodes<StatusDocument>(env, options, { target: '/v1/status', kind: 'Status' });
  } catch (thrown) {
    screen().hint(`nodes: ${asMeshError(thrown).message}`);
    return nobody;
  }
}
