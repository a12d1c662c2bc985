/** What every command shares: its context, and the options that mean the same everywhere. */
import { type Command, Option } from 'commander';
import { meshNamespace } from '../controller/kubernetes/names.ts';
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

/** `--node`, `--socket`, a cluster, `--timeout`: which nodes are asked, and how long. */
export const withNodes = (command: Command): Command =>
  withCluster(
    command
      .addOption(new Option('--node <name>', 'ask this node only').argParser(parseName))
      .addOption(
        new Option('--socket <path>', 'ask the node behind this admin socket only').conflicts(clusterOptions),
      ),
  );

/** Without any of these a command is about this machine's nodes; where there is none, about the usual cluster's. */
const withCluster = (command: Command): Command =>
  command
    .option('--kubeconfig <file>', 'ask the nodes of this cluster; default $KUBECONFIG or ~/.kube/config')
    .option('--context <name>', 'ask the nodes of the cluster of this context of the kubeconfig')
    .addOption(
      new Option('--mesh-namespace <name>', 'where the mesh is in the cluster')
        .argParser(parseName)
        .default(meshNamespace),
    )
    .addOption(
      new Option('--timeout <duration>', 'longest wait for a node')
        .argParser(parseDuration)
        .default(10_000, '10s'),
    );

const clusterOptions = ['kubeconfig', 'context'];

/** `-o`; `name` only where rows have one. */
export const withOutput = (command: Command, formats: readonly OutputFormat[] = outputFormats): Command =>
  command.addOption(new Option('-o, --output <format>', 'how to print').choices(formats).default('table'));

/** `--node`, `--pin-root`, a cluster: which nodes' pinned BPF objects are read. */
export const withPins = (command: Command): Command =>
  withCluster(
    command
      .addOption(new Option('--node <name>', 'of this node only').argParser(parseName))
      .addOption(
        new Option('--pin-root <path>', 'of the node whose BPF objects are pinned here').conflicts(
          clusterOptions,
        ),
      ),
  );

export const withNamespace = (command: Command): Command =>
  command.addOption(new Option('-n, --namespace <name>', 'this namespace only').argParser(parseName));

/** Examples as they are typed, after `addHelpText`: under the name by which the program was called. */
export const examples =
  (...lines: readonly string[]) =>
  ({ command }: { readonly command: Command }): string =>
    `\nExamples:\n${lines.map((line) => `  $ ${rootOf(command).name()} ${line}`).join('\n')}`;

const rootOf = (command: Command): Command => (command.parent === null ? command : rootOf(command.parent));

export type ReadOptions = NodeSelection & OutputOptions;
