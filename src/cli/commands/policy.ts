/** `policy`: what can be found out about policies before and after they are applied; each subcommand is a file in `policy/`. */
import type { Command } from 'commander';
import { type CommandContext, type CommandGroup, examples } from '../command.ts';
import { exitCodesHelp } from '../exit-codes.ts';
import { addPolicyDiffCommand } from './policy/diff.ts';
import { addPolicyLintCommand } from './policy/lint.ts';
import { addPolicySuggestCommand } from './policy/suggest.ts';
import { addPolicyTest } from './policy/test.ts';

/** In the order in which one needs them. */
const subcommands: readonly CommandGroup[] = [
  addPolicyTest,
  addPolicyLintCommand,
  addPolicyDiffCommand,
  addPolicySuggestCommand,
];

export function addPolicyCommand(program: Command, context: CommandContext): void {
  const policy = program
    .command('policy')
    .description('test policies, find mistakes in them, see what new ones would change, have some proposed')
    .addHelpText(
      'after',
      examples(
        'policy test cases.yaml --files manifests/',
        'policy lint --files policies/ --files manifests/',
        'policy diff -f new.yaml',
        'policy suggest -n shop > shop.yaml',
      ),
    )
    .addHelpText('after', exitCodesHelp);
  for (const add of subcommands) add(policy, context);
}
