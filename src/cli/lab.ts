/** `lab`: two Kubernetes-like nodes on this machine, to try the mesh on. The work is done in `src/lab`. */
import type { Command } from 'commander';
import { Option } from 'commander';
import { labDown } from '../lab/commands/down.ts';
import { labStatus } from '../lab/commands/status.ts';
import { labUp, type UpOptions } from '../lab/commands/up.ts';
import type { CommandContext, CommandGroup, OutputOptions } from './command.ts';
import { examples, withOutput } from './command.ts';
import { exitCodes } from './exit-codes.ts';
import { formatDuration, plural } from './format.ts';
import { addHiddenLabCommands } from './lab-hidden.ts';
import { addLabExec, addLabLogs } from './lab-inside.ts';
import { addLabApply, addLabDelete } from './lab-objects.ts';
import { labContext, type LabDeps, type WaitFlags, withWait } from './lab-context.ts';
import { addLabStatus, printLabStatus } from './lab-status.ts';
import { parseClockOffset, parseCount, parseDuration } from './usage.ts';

export const addLabCommands =
  (deps: LabDeps): CommandGroup =>
  (program, context) => {
    const lab = program
      .command('lab')
      .description('two nodes on this machine, in network namespaces, to try the mesh on (root)')
      .addHelpText(
        'after',
        examples('lab up -f examples/shop', 'lab status', 'lab exec -it web -- sh', 'lab down'),
      );
    addUp(lab, context, deps);
    addLabStatus(lab, context, deps);
    addLabExec(lab, context, deps);
    addLabLogs(lab, context, deps);
    addLabApply(lab, context, deps);
    addLabDelete(lab, context, deps);
    addDown(lab, context, deps);
    addHiddenLabCommands(program, context);
  };

interface UpFlags extends OutputOptions, WaitFlags {
  readonly filename?: readonly string[];
  readonly nodes: number;
  readonly mesh: boolean;
  readonly certificateLifetime?: number;
  readonly sameNode?: string;
  readonly accelerate?: string;
  readonly clockOffset?: Readonly<Record<string, number>>;
}

function addUp(lab: Command, context: CommandContext, deps: LabDeps): void {
  const up = lab
    .command('up')
    .description('start the lab')
    .option('-f, --filename <path...>', 'manifests: files, directories, or - for standard input')
    .addOption(new Option('--nodes <n>', 'how many nodes').argParser(parseCount).default(2))
    .option('--no-mesh', 'without the mesh: only nodes, pods and Services')
    .addOption(
      new Option('--certificate-lifetime <duration>', 'of workloads, as the controller has it').argParser(
        parseDuration,
      ),
    )
    .addOption(
      new Option(
        '--same-node <path>',
        'how pods of a node reach each other, as the node program has it',
      ).choices(['hbone', 'kernel']),
    )
    .addOption(
      new Option(
        '--accelerate <which>',
        'which connections within a node go from socket to socket, as the node program has it',
      ).choices(['off', 'auto', 'forced']),
    )
    .addOption(
      new Option(
        '--clock-offset <node=duration>',
        'a fault to try: the clock of this node’s mesh programs is wrong, such as node-b=-10m (needs faketime)',
      ).argParser(parseClockOffset),
    )
    .addHelpText(
      'after',
      examples('lab up -f examples/shop --wait', 'lab up -f shop.yaml --nodes 3 --no-mesh'),
    );
  withOutput(withWait(up), ['table', 'wide', 'json', 'yaml']).action(
    context.action(async (flags: UpFlags) => {
      const screen = context.screen();
      const { env } = context;
      const startedAt = env.clock.now();
      const running = labContext(env, screen, deps);
      await labUp(running, upOptions(flags));
      screen.hint(`the lab is up after ${formatDuration(env.clock.now() - startedAt)}`);
      printLabStatus(screen, flags.output, await labStatus(running), env.clock.now());
      return exitCodes.clean;
    }),
  );
}

const upOptions = (flags: UpFlags): UpOptions => ({
  files: flags.filename ?? [],
  nodes: flags.nodes,
  mesh: flags.mesh,
  certificateLifetimeMs: flags.certificateLifetime,
  sameNode: flags.sameNode,
  accelerate: flags.accelerate,
  ...(flags.clockOffset === undefined ? {} : { clockOffsets: flags.clockOffset }),
  waitMs: flags.wait === true ? flags.timeout : undefined,
});

function addDown(lab: Command, context: CommandContext, deps: LabDeps): void {
  lab
    .command('down')
    .description('end the lab and remove everything it made; also clears up after a crash')
    .action(
      context.action(async () => {
        const screen = context.screen();
        const { processes, namespaces } = await labDown(labContext(context.env, screen, deps));
        screen.hint(
          namespaces + processes === 0
            ? 'there was no lab'
            : `the lab is gone: ${plural(namespaces, 'network namespace')} and ${processes} processes; nothing is left`,
        );
        return exitCodes.clean;
      }),
    );
}
