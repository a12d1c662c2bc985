/** What every command shares: its context, and the options that mean the same everywhere. */
import { type Command, Option } from 'commander';
import type { CliEnv } from './env.ts';
import type { NodeSelection } from './nodes.ts';
import { type OutputFormat, outputFormats } from './output.ts';
import type { Screen } from './screen.ts';
import { parseDuration, parseName } from './usage.ts';

/** What a command is given besides its own options. */
export interface CommandContext {
  readonly env: CliEnv;
  /** Made when the command runs: only then is `--color` known. */
  readonly screen: () => Screen;
  /** Makes a commander action of a function that returns the exit status: an `ExitCode`, or that of a program it ran. */
  // The options' type is what the command declares; commander cannot know it.
  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- inferred from `run`
  readonly action: <Options extends object>(
    run: (options: Options, args: readonly string[]) => Promise<number>,
  ) => (...given: unknown[]) => Promise<void>;
}

/** Adds one command or several to the program. */
export type CommandGroup = (program: Command, context: CommandContext) => void;

export interface OutputOptions {
  readonly output: OutputFormat;
}

/** `--node`, `--socket`, `--timeout`: which nodes are asked, and how long. */
export const withNodes = (command: Command): Command =>
  command
    .addOption(new Option('--node <name>', 'ask this node only').argParser(parseName))
    .option('--socket <path>', 'ask the node behind this admin socket only')
    .addOption(
      new Option('--timeout <duration>', 'longest wait for a node')
        .argParser(parseDuration)
        .default(10_000, '10s'),
    );

/** `-o`; `name` only where rows have one. */
export const withOutput = (command: Command, formats: readonly OutputFormat[] = outputFormats): Command =>
  command.addOption(new Option('-o, --output <format>', 'how to print').choices(formats).default('table'));

/** `--node`, `--pin-root`: which nodes' pinned BPF objects are read. */
export const withPins = (command: Command): Command =>
  command
    .addOption(new Option('--node <name>', 'of this node only').argParser(parseName))
    .option('--pin-root <path>', 'of the node whose BPF objects are pinned here');

export const withNamespace = (command: Command): Command =>
  command.addOption(new Option('-n, --namespace <name>', 'this namespace only').argParser(parseName));

export const examples = (...lines: readonly string[]): string =>
  `\nExamples:\n${lines.map((line) => `  $ mesh-ebpf ${line}`).join('\n')}`;

export type ReadOptions = NodeSelection & OutputOptions;
