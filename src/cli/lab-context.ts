/** What the lab's commands need of the world, made of the CLI's own surroundings. */
import { type Command, Option } from 'commander';
import type { LabContext } from '../lab/commands/context.ts';
import { labLayout } from '../lab/layout.ts';
import type { CliEnv } from './env.ts';
import type { Screen } from './screen.ts';
import { parseDuration } from './usage.ts';

export interface LabDeps {
  /** The command that runs this program: [node, its options, entry point]. */
  readonly program: readonly [string, ...string[]];
}

export const labContext = (env: CliEnv, screen: Screen, { program }: LabDeps): LabContext => ({
  layout: labLayout(),
  clock: env.clock,
  program,
  progress: (line) => screen.hint(line),
  signal: env.interrupted,
});

/** `--wait`, `--timeout`. */
export interface WaitFlags {
  readonly wait?: boolean;
  readonly timeout: number;
}

export const withWait = (command: Command): Command =>
  command
    .option('--wait', 'wait until every pod is ready')
    .addOption(
      new Option('--timeout <duration>', 'longest wait with --wait')
        .argParser(parseDuration)
        .default(60_000, '60s'),
    );
