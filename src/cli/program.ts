/**
 * The command table. Noun commands change nothing, verb commands change state. Other parts of the product add their
 * groups (`lab`, `node`, `controller`) through `CommandGroup`, so that this folder need not know them.
 */
import { Command, CommanderError, Option } from 'commander';
import { asMeshError, MeshError } from '../base/errors.ts';
import { addCertsCommand } from './commands/certs.ts';
import { addCompleteCommand, addCompletionCommand } from './commands/completion.ts';
import { addConnectionsCommand } from './commands/connections.ts';
import { addDoctorCommand } from './commands/doctor.ts';
import { addErrorsCommand } from './commands/errors.ts';
import { addExplainCommand } from './commands/explain.ts';
import { addInspectCommand } from './commands/inspect.ts';
import { addMapsCommand } from './commands/maps.ts';
import { addPoliciesCommand } from './commands/policies.ts';
import { addPolicyCommand } from './commands/policy.ts';
import { addProgramsCommand } from './commands/programs.ts';
import { addServicesCommand } from './commands/services.ts';
import { addStatusCommand } from './commands/status.ts';
import { addUninstallCommand } from './commands/uninstall.ts';
import { addVerdictsCommand } from './commands/verdicts.ts';
import { addVersionCommand } from './commands/version.ts';
import { addWhyCommand } from './commands/why.ts';
import { addWorkloadsCommand } from './commands/workloads.ts';
import type { CommandContext, CommandGroup } from './command.ts';
import type { CliEnv } from './env.ts';
import { errorText } from './error-text.ts';
import { type ExitCode, exitCodes, exitCodesHelp } from './exit-codes.ts';
import { type ColorMode, colorModes, createScreen, type Screen } from './screen.ts';

/** By task, in the order in which one needs them. */
const ownGroups: Readonly<Record<string, readonly CommandGroup[]>> = {
  'Look at the mesh:': [
    addStatusCommand,
    addWorkloadsCommand,
    addServicesCommand,
    addCertsCommand,
    addPoliciesCommand,
    addConnectionsCommand,
  ],
  'Understand who may talk to whom:': [addExplainCommand, addWhyCommand, addPolicyCommand],
  'Look into the kernel (works without a node running):': [
    addMapsCommand,
    addProgramsCommand,
    addVerdictsCommand,
    addDoctorCommand,
  ],
  'Remove it:': [addUninstallCommand],
  'Help:': [addErrorsCommand, addVersionCommand, addCompletionCommand],
};

/** Runs one command line, without the program's name in front. Never throws, never exits. */
export async function runCli(
  args: readonly string[],
  env: CliEnv,
  groups: readonly CommandGroup[] = [],
): Promise<number> {
  let code: number = exitCodes.clean;
  const program = createProgram(env, groups, (result) => {
    code = result;
  });
  try {
    await program.parseAsync(args, { from: 'user' });
    return code;
  } catch (thrown) {
    return explain(thrown, createScreen(env, colorOf(program)), env);
  }
}

/** The program with all its commands; `finished` hears the exit status of the one that ran. */
export function createProgram(
  env: CliEnv,
  groups: readonly CommandGroup[],
  finished: (code: number) => void,
): Command {
  const program = new Command(env.programName)
    .description('An ambient service mesh: eBPF capture, SPIFFE identity, mutual TLS, no sidecars.')
    .addOption(new Option('--color <when>', 'colour the output').choices(colorModes).default('auto'))
    .addHelpText(
      'after',
      `${exitCodesHelp}\n\nStart here: ${['status', 'doctor', 'lab up --help'].map((line) => `${env.programName} ${line}`).join(', ')}`,
    );
  inherit(program, env);
  program.helpCommand(false).commandsGroup('Run it:');
  const context: CommandContext = {
    env,
    screen: () => createScreen(env, colorOf(program)),
    action:
      (run) =>
      async (...given) => {
        const command = given.at(-1) as Command;
        finished(await run(command.optsWithGlobals(), command.args));
      },
  };
  for (const addGroup of groups) addGroup(program, context);
  for (const [heading, adders] of Object.entries(ownGroups)) {
    program.commandsGroup(heading);
    for (const add of adders) add(program, context);
  }
  addInspectCommand(program, context);
  addCompleteCommand(program, context);
  return program;
}

/** Settings that commander copies into subcommands made later. */
function inherit(program: Command, env: CliEnv): void {
  program
    .exitOverride()
    .showSuggestionAfterError(true)
    .showHelpAfterError('Run it with --help to see what it takes.')
    .configureHelp({ sortSubcommands: false, showGlobalOptions: false })
    .configureOutput({
      writeOut: (text) => env.stdout.write(text),
      writeErr: (text) => env.stderr.write(text),
      getOutHelpWidth: () => env.stdout.columns ?? 100,
      getErrHelpWidth: () => env.stderr.columns ?? 100,
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    });
}

const colorOf = (program: Command): ColorMode => program.opts<{ color?: ColorMode }>().color ?? 'auto';

function explain(thrown: unknown, screen: Screen, env: CliEnv): ExitCode {
  // Commander has written its message already; asking for help is no error.
  if (thrown instanceof CommanderError) return thrown.exitCode === 0 ? exitCodes.clean : exitCodes.usage;
  const error = asMeshError(thrown);
  env.stderr.write(`${errorText(error, screen.paintHint)}\n`);
  // Not an error of ours: a bug, and whoever mends it needs to know where.
  if (thrown instanceof Error && !(thrown instanceof MeshError)) env.stderr.write(`${thrown.stack ?? ''}\n`);
  if (error.code === 'INVALID_ARGUMENT') return exitCodes.usage;
  return error.code === 'NOT_FOUND' ? exitCodes.findings : exitCodes.undecided;
}
