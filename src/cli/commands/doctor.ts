/** `doctor`: can the mesh work on this machine, and does it? What is missing, what that costs, what to do. */
import type { Command } from 'commander';
import { asMeshError } from '../../base/errors.ts';
import type { StatusDocument } from '../../telemetry/admin-api.ts';
import { type Check, hostChecks } from '../checks.ts';
import { checkCluster, folded } from '../cluster/check-nodes.ts';
import { chooseCluster, namesCluster } from '../cluster/choose.ts';
import { findClusterNodes } from '../cluster/find-nodes.ts';
import type { RemoteNode } from '../cluster/remote-node.ts';
import { type CommandContext, examples, type OutputOptions, withNodes, withOutput } from '../command.ts';
import type { CliEnv } from '../env.ts';
import { type ExitCode, exitCodes, exitCodesHelp, worse } from '../exit-codes.ts';
import { listDocument } from '../listing.ts';
import { localNodes } from '../local-nodes.ts';
import { statusChecks, unreachableCheck } from '../node-checks.ts';
import type { Found } from '../node-handle.ts';
import { type Answers, askLocalNodes, type NodeSelection } from '../nodes.ts';
import { printDocument } from '../output.ts';
import { existingPinRoots } from '../pin-roots.ts';
import { printable, width } from '../printable.ts';
import type { Screen, Style } from '../screen.ts';

export function addDoctorCommand(program: Command, context: CommandContext): void {
  const command = program
    .command('doctor')
    .description(
      'check this machine and its nodes, or those of a cluster: what is missing, and what that costs',
    )
    .addHelpText('after', examples('doctor', 'doctor -o json', 'doctor --context staging --node node-a'))
    .addHelpText('after', exitCodesHelp);
  withOutput(withNodes(command), ['table', 'json', 'yaml']).action(
    context.action(async (options: NodeSelection & OutputOptions) => {
      const { env } = context;
      const screen = context.screen();
      const nodes = await clusterNodes(env, screen, options);
      if (nodes !== undefined) {
        const checks = await checkCluster(env, options, nodes);
        return report(screen, options, checks, options.node === undefined ? folded(checks) : checks);
      }
      const checks = [...(await hostChecks(env, 'machine')), ...(await nodeChecks(env, options))];
      return report(screen, options, checks, checks);
    }),
  );
}

/** `shown`: of all the checks, those that a person is shown. */
function report(
  screen: Screen,
  { output }: OutputOptions,
  checks: readonly Check[],
  shown: readonly Check[],
): ExitCode {
  if (output === 'json' || output === 'yaml') {
    printDocument(screen, output, listDocument('CheckList', { items: checks }, []));
  } else {
    printChecks(screen, shown);
  }
  return checks.map(({ result }) => verdicts[result]).reduce(worse, exitCodes.clean);
}

/**
 * The nodes to ask, when it is a cluster that is to be checked. A cluster that nobody named and that has no mesh, or
 * cannot be asked, leaves the machine itself: the question may be whether the mesh could work here.
 */
async function clusterNodes(
  env: CliEnv,
  screen: Screen,
  options: NodeSelection,
): Promise<Found<RemoteNode> | undefined> {
  if (options.socket !== undefined) return undefined;
  try {
    const cluster = await chooseCluster(env, options, async () => await isMeshHere(env));
    return cluster === undefined ? undefined : await findClusterNodes(env, cluster, options);
  } catch (thrown) {
    const { code, message } = asMeshError(thrown);
    if (namesCluster(options) || options.node !== undefined || code === 'INTERNAL') throw thrown;
    screen.hint(`this machine is checked, and no cluster: ${message}`);
    return undefined;
  }
}

const isMeshHere = async (env: CliEnv): Promise<boolean> =>
  (await localNodes(env)).length + (await existingPinRoots(env)).length > 0;

const verdicts: Readonly<Record<Check['result'], ExitCode>> = {
  ok: exitCodes.clean,
  // A cost that was accepted is no reason for a script to stop.
  warning: exitCodes.clean,
  failed: exitCodes.findings,
  unknown: exitCodes.undecided,
};

const marks: Readonly<Record<Check['result'], { readonly text: string; readonly style: Style }>> = {
  ok: { text: 'ok  ', style: 'green' },
  warning: { text: 'warn', style: 'yellow' },
  failed: { text: 'FAIL', style: 'red' },
  unknown: { text: '?   ', style: 'yellow' },
};

function printChecks(screen: Screen, checks: readonly Check[]): void {
  const room = Math.max(...checks.map(({ name }) => width(printable(name))));
  for (const { name, result, found, cost, next } of checks) {
    const { text, style } = marks[result];
    const padding = ' '.repeat(room - width(printable(name)));
    screen.data(`${screen.paint(style, text)}  ${printable(name)}${padding}  ${printable(found)}`);
    if (cost !== null) screen.data(`      cost: ${printable(cost)}`);
    if (next !== null) screen.data(`      next: ${printable(next)}`);
  }
}

/** The running nodes' own word; pins that nobody looks after are found too. */
async function nodeChecks(env: CliEnv, options: NodeSelection): Promise<readonly Check[]> {
  const pinned = await existingPinRoots(env);
  try {
    const answers = await askLocalNodes<StatusDocument>(env, options, {
      target: '/v1/status',
      kind: 'Status',
    });
    return answeredChecks(answers);
  } catch (thrown) {
    const { code, message, hint } = asMeshError(thrown);
    if (code === 'NOT_FOUND') throw thrown;
    if (pinned.length === 0) return [noNodes];
    const where = pinned.map(({ path }) => path).join(', ');
    return [
      {
        name: 'nodes',
        result: 'failed',
        found: `${message}, but BPF programs are in force (${where})`,
        cost: 'new connections of enrolled pods are refused',
        next: hint === undefined ? null : `${hint}; or give up the mesh with: mesh-ebpf uninstall`,
      },
    ];
  }
}

const noNodes: Check = { name: 'nodes', result: 'ok', found: 'none installed', cost: null, next: null };

const answeredChecks = ({ documents, unreachable }: Answers<StatusDocument>): readonly Check[] => [
  ...documents.flatMap((status) => statusChecks(`node ${status.node}`, status)),
  ...unreachable.map((one) => unreachableCheck(`node ${one.node}`, one)),
];
