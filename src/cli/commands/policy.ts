/** `policy`: what can be found out about policies before and after they are applied; each subcommand is a file in `policy/`. */
import type { Command } from 'commander';
import { type CommandContext, type CommandGroup, examples } from '../command.ts';
import { exitCodesHelp } from '../exit-codes.ts';
import { addPolicyTest } from './policy/test.ts';

/** In the order in which one needs them. */
const subcommands: readonly CommandGroup[] = [addPolicyTest];

export function addPolicyCommand(program: Command, context: CommandContext): void {
  const policy = program
    .command('policy')
    .description('test policies against what they should allow and deny')
    .addHelpText('after', examples('policy test cases.yaml --files manifests/'))
    .addHelpText('after', exitCodesHelp);
  for (const add of subcommands) add(policy, context);
}
