/**
 * `completion SHELL`: a script made from the command table itself, and `complete`, which answers kubectl's completion
 * of plugins from the same table. Neither asks a node or the network.
 */
import { Argument, type Command } from 'commander';
import { type CommandContext } from '../command.ts';
import { complete } from '../complete.ts';
import { bashScript, type CompletionNode, fishScript, zshScript } from '../completion-scripts.ts';
import { exitCodes } from '../exit-codes.ts';

const shells = ['bash', 'zsh', 'fish'] as const;
type Shell = (typeof shells)[number];

const install: Readonly<Record<Shell, string>> = {
  bash: 'mesh-ebpf completion bash > /etc/bash_completion.d/mesh-ebpf',
  zsh: 'mesh-ebpf completion zsh > "${fpath[1]}/_mesh-ebpf"',
  fish: 'mesh-ebpf completion fish > ~/.config/fish/completions/mesh-ebpf.fish',
};

export function addCompletionCommand(program: Command, context: CommandContext): void {
  const installs = shells.map((shell) => `  ${shell}:  ${install[shell]}`).join('\n');
  program
    .command('completion')
    .addArgument(new Argument('<shell>', 'the shell to write the script for').choices(shells))
    .description('print a shell completion script')
    .addHelpText('after', `\nTo install it:\n${installs}`)
    .action(
      context.action(async (_options, [shell]) => {
        const script = scripts[shells.find((known) => known === shell) ?? 'bash'];
        // The scripts complete a program's name; kubectl asks for its plugins itself.
        context.env.stdout.write(script({ ...describe(program), name: 'mesh-ebpf' }));
        return await Promise.resolve(exitCodes.clean);
      }),
    );
}

export function addCompleteCommand(program: Command, context: CommandContext): void {
  program
    .command('complete', { hidden: true })
    .argument('[words...]', 'after --: what is typed so far; the last is what is being typed')
    .description('say what could follow, as kubectl asks its plugins')
    .action(
      context.action(async (_options, words) => {
        const { offers, files } = complete(describe(program), words);
        const lines = offers.map(({ text, summary }) => (summary === '' ? text : `${text}\t${summary}`));
        const last = `:${files ? directives.filesToo : directives.noFiles}`;
        context.env.stdout.write([...lines, last].map((line) => `${line}\n`).join(''));
        return await Promise.resolve(exitCodes.clean);
      }),
    );
}

/** The last line tells the shell what to do besides (cobra, ShellCompDirective). */
const directives = { filesToo: 0, noFiles: 4 } as const;

const scripts: Readonly<Record<Shell, (root: CompletionNode) => string>> = {
  bash: bashScript,
  zsh: zshScript,
  fish: fishScript,
};

/** The command tree as data. */
function describe(command: Command): CompletionNode {
  const { visibleCommands, visibleOptions } = {
    visibleCommands: command.createHelp().visibleCommands(command),
    visibleOptions: command.createHelp().visibleOptions(command),
  };
  return {
    name: command.name(),
    summary: command.description(),
    options: visibleOptions.map((option) => ({
      flags: [option.short, option.long].filter((flag) => flag !== undefined),
      summary: option.description,
      takesValue: option.required || option.optional,
      choices: option.argChoices ?? [],
    })),
    choices: command.registeredArguments[0]?.argChoices ?? [],
    children: visibleCommands.filter((child) => child.name() !== 'help').map((child) => describe(child)),
  };
}
