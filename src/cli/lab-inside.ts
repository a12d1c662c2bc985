/** `lab exec` and `lab logs`: into a pod, and what it says. */
import type { Command } from 'commander';
import { Option } from 'commander';
import { MeshError } from '../base/errors.ts';
import { labExec } from '../lab/commands/exec.ts';
import { labLogs, type LogSource, type NodeProcess, nodeProcesses } from '../lab/commands/logs.ts';
import type { CommandContext } from './command.ts';
import { examples } from './command.ts';
import { exitCodes } from './exit-codes.ts';
import { labContext, type LabDeps } from './lab-context.ts';
import { parseCount, parseName, parsePod } from './usage.ts';

interface ExecFlags {
  readonly stdin?: boolean;
  readonly tty?: boolean;
}

export function addLabExec(lab: Command, context: CommandContext, deps: LabDeps): void {
  lab
    .command('exec')
    .description('run a command in a pod; a terminal is passed through, its exit status passed on')
    .argument('<pod>', 'POD, NAMESPACE/POD or POD.NAMESPACE')
    .argument('<command...>', 'after --')
    .option('-i, --stdin', 'pass standard input on though it is no terminal')
    .option('-t, --tty', 'say so when there is no terminal; as kubectl has it: -it')
    .addHelpText(
      'after',
      examples('lab exec -it web -- sh', 'lab exec shop/web -- mesh-ebpf lab-app get http://cart:8080'),
    )
    .action(
      context.action(async (flags: ExecFlags, [pod = '', command = '', ...args]) => {
        const { env } = context;
        const inside = labContext(env, context.screen(), deps);
        const term = env.variables.TERM;
        return await labExec(inside, {
          pod: parsePod(pod),
          command: [command, ...args],
          stdin: flags.stdin === true,
          tty: flags.tty === true,
          term,
        });
      }),
    );
}

interface LogFlags {
  readonly follow?: boolean;
  readonly tail?: number;
  readonly node?: string;
  readonly process: NodeProcess;
}

export function addLabLogs(lab: Command, context: CommandContext, deps: LabDeps): void {
  lab
    .command('logs')
    .description('what a pod, or a process of a node, has written')
    .argument('[pod]', 'POD, NAMESPACE/POD or POD.NAMESPACE')
    .option('-f, --follow', 'go on until Ctrl-C')
    .addOption(new Option('--tail <lines>', 'only the last lines').argParser(parseCount))
    .addOption(new Option('--node <name>', 'of this node instead of a pod').argParser(parseName))
    .addOption(
      new Option('--process <name>', 'which process of the node').choices(nodeProcesses).default('mesh'),
    )
    .addHelpText('after', examples('lab logs web -f', 'lab logs --node node-a --process kubelet --tail 20'))
    .action(
      context.action(async (flags: LogFlags, [pod]) => {
        const inside = labContext(context.env, context.screen(), deps);
        const options = { source: logSource(pod, flags), follow: flags.follow === true, tail: flags.tail };
        await labLogs(inside, options, (text) => context.env.stdout.write(text));
        return exitCodes.clean;
      }),
    );
}

function logSource(pod: string | undefined, flags: LogFlags): LogSource {
  if (flags.node !== undefined && pod === undefined) {
    return { type: 'node', node: flags.node, process: flags.process };
  }
  if (flags.node === undefined && pod !== undefined) return { type: 'pod', pod: parsePod(pod) };
  throw new MeshError('INVALID_ARGUMENT', 'give either a pod or --node');
}
