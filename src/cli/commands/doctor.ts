/** `doctor`: can the mesh work on this machine, and does it? What is missing, what that costs, what to do. */
import type { Command } from 'commander';
import { asMeshError } from '../../base/errors.ts';
import type { Problem, StatusDocument } from '../../telemetry/admin-api.ts';
import { type Check, hostChecks } from '../checks.ts';
import { type CommandContext, examples, type ReadOptions, withNodes, withOutput } from '../command.ts';
import type { CliEnv } from '../env.ts';
import { type ExitCode, exitCodes, exitCodesHelp, worse } from '../exit-codes.ts';
import { listDocument } from '../listing.ts';
import { type Answers, askNodes } from '../nodes.ts';
import { printDocument } from '../output.ts';
import { existingPinRoots } from '../pin-roots.ts';
import { printable, width } from '../printable.ts';
import type { Screen, Style } from '../screen.ts';

export function addDoctorCommand(program: Command, context: CommandContext): void {
  const command = program
    .command('doctor')
    .description('check this machine and its nodes: what is missing, and what that costs')
    .addHelpText('after', examples('doctor', 'doctor -o json'))
    .addHelpText('after', exitCodesHelp);
  withOutput(withNodes(command), ['table', 'json', 'yaml']).action(
    context.action(async (options: ReadOptions) => {
      const { env } = context;
      const checks = [...(await hostChecks(env)), ...(await nodeChecks(env, options))];
      const screen = context.screen();
      if (options.output === 'json' || options.output === 'yaml') {
        printDocument(screen, options.output, listDocument('CheckList', { items: checks }, []));
      } else {
        printChecks(screen, checks);
      }
      return checks.map(({ result }) => verdicts[result]).reduce(worse, exitCodes.clean);
    }),
  );
}

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
async function nodeChecks(env: CliEnv, options: ReadOptions): Promise<readonly Check[]> {
  const pinned = await existingPinRoots(env);
  try {
    const answers = await askNodes<StatusDocument>(env, options, { target: '/v1/status', kind: 'Status' });
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

function answeredChecks({ documents, unreachable }: Answers<StatusDocument>): readonly Check[] {
  return [
    ...documents.flatMap((status) => statusChecks(status)),
    ...unreachable.map(({ node, error }): Check => ({
      name: `node ${node}`,
      result: 'unknown',
      found: error.message,
      cost: 'new connections of its enrolled pods are refused if it is down',
      next: error.hint ?? null,
    })),
  ];
}

function statusChecks({ node, problems, readiness, pods }: StatusDocument): readonly Check[] {
  const name = `node ${node}`;
  if (!readiness.ready) {
    const found = `not ready: ${readiness.pending.join(', ')}`;
    return [{ name, result: 'failed', found, cost: 'pods that start now wait', next: null }];
  }
  if (problems.length > 0) return problems.map((problem) => problemCheck(name, problem));
  return [
    {
      name,
      result: 'ok',
      found: `${pods.enrolled}/${pods.expected} labelled pods enrolled`,
      cost: null,
      next: null,
    },
  ];
}

const problemCheck = (name: string, { subject, message, hint }: Problem): Check => ({
  name,
  result: 'failed',
  found: `${subject}: ${message}`,
  cost: null,
  next: hint,
});
