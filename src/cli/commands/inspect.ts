/** `inspect`: for programs, not people: answers what the CLI outside the cluster asks about this node. */
import type { Command } from 'commander';
import type { CommandContext } from '../command.ts';
import { serveInspection } from '../inspect/serve.ts';

export function addInspectCommand(program: Command, context: CommandContext): void {
  program
    .command('inspect', { hidden: true })
    .description('answer questions about this node, a line of JSON each, from standard input')
    .action(context.action(async () => await serveInspection(context.env)));
}
