/** `uninstall`: takes everything of the mesh off this machine, and with `--verify` proves that nothing is left. */
import { type Command, Option } from 'commander';
import { asMeshError, MeshError } from '../../base/errors.ts';
import type { Leftover, Owned } from '../../datapath/ownership.ts';
import { type CommandContext, examples, type OutputOptions, withOutput } from '../command.ts';
import type { Cleaner, CliEnv, ClusterUninstallOptions } from '../env.ts';
import { errorText } from '../error-text.ts';
import { type ExitCode, exitCodes, exitCodesHelp, worse } from '../exit-codes.ts';
import { plural } from '../format.ts';
import { listDocument } from '../listing.ts';
import { printDocument } from '../output.ts';
import { existingPinRoots, type PinRoot } from '../pin-roots.ts';
import { printable } from '../printable.ts';
import type { Screen } from '../screen.ts';
import { parseDuration } from '../usage.ts';

interface Options extends OutputOptions, ClusterUninstallOptions {
  readonly pinRoot?: string;
  readonly verify?: boolean;
  readonly cluster?: boolean;
}

/** One thing that was, or would be, removed. */
interface Step {
  readonly what: string;
  readonly result: 'removed' | 'planned' | 'failed';
  readonly message: string | null;
}

export function addUninstallCommand(program: Command, context: CommandContext): void {
  const command = program
    .command('uninstall')
    .description('detach and unpin the BPF programs, and remove rules and routes from pods')
    .option('--pin-root <path>', 'only the node whose BPF objects are pinned here')
    .option('--verify', 'ask the kernel afterwards whether anything is left; exit status 1 if so')
    .option('--dry-run', 'say what would be removed, and remove nothing')
    .option('-y, --yes', 'do not ask')
    .option('--cluster', 'all nodes of a cluster, each verified, and then the mesh’s objects in it')
    .option('--kubeconfig <file>', 'with --cluster: instead of $KUBECONFIG and ~/.kube/config')
    .option('--context <name>', 'with --cluster: a context of it')
    .option('--force', 'with --cluster: delete the objects although a node could not be cleaned')
    .addOption(
      new Option('--timeout <duration>', 'with --cluster: longest wait for the nodes')
        .argParser(parseDuration)
        .default(300_000, '5m'),
    )
    .addHelpText(
      'after',
      '\nOpen connections through ztunnel end; new ones are no longer captured. Stop the node program first.',
    )
    .addHelpText('after', examples('uninstall --dry-run', 'uninstall --verify', 'uninstall --cluster'))
    .addHelpText('after', exitCodesHelp);
  withOutput(command, ['table', 'json', 'yaml']).action(
    context.action(async (options: Options) => await uninstall(context, options)),
  );
}

async function uninstall(context: CommandContext, options: Options): Promise<ExitCode> {
  const { env } = context;
  if (options.cluster === true) return await uninstallCluster(env, options);
  const screen = context.screen();
  const roots = await rootsOf(env, options);
  const paths = roots.map(({ path }) => path);
  // Known before anything is removed: it tells what is this mesh's from what others have in the same kernel.
  const owned = env.datapath.owned(paths, options.pinRoot === undefined);
  const scope = { roots, cleaners: await cleanersFor(env, roots), owned };
  const planned = await plan(env, scope);
  if (options.dryRun === true) return report(screen, options, planned, undefined);
  if (planned.length > 0 && options.yes !== true && !(await confirmed(env, planned))) {
    screen.hint('nothing was removed');
    return exitCodes.findings;
  }
  const steps = planned.length === 0 ? [] : await remove(env, screen, scope);
  const left = options.verify === true ? await leftovers(env, screen, scope) : undefined;
  return report(screen, options, steps, left);
}

async function uninstallCluster(env: CliEnv, options: Options): Promise<ExitCode> {
  if (env.uninstallCluster !== undefined) return await env.uninstallCluster(options);
  throw new MeshError('UNSUPPORTED', 'this program cannot reach a cluster');
}

const rootsOf = async (env: CliEnv, { pinRoot }: Options): Promise<readonly PinRoot[]> =>
  pinRoot === undefined ? await existingPinRoots(env) : [{ node: pinRoot, path: pinRoot }];

interface Scope {
  readonly roots: readonly PinRoot[];
  readonly cleaners: readonly Cleaner[];
  readonly owned: Owned;
}

/** What is in the pods cannot be told apart by node: it goes with the machine's last node, and not before. */
async function cleanersFor(env: CliEnv, roots: readonly PinRoot[]): Promise<readonly Cleaner[]> {
  const going = new Set(roots.map(({ path }) => path));
  const others = (await existingPinRoots(env)).filter(({ path }) => !going.has(path));
  return others.length === 0 ? env.cleaners : [];
}

async function plan(env: CliEnv, scope: Scope): Promise<readonly Step[]> {
  const found = await findings(env, scope);
  const what = [...scope.roots.map(({ path }) => `BPF programs and maps pinned in ${path}`), ...found];
  return what.map((each) => ({ what: each, result: 'planned', message: null }));
}

/** Where nobody can be asked, the command itself was the answer. */
async function confirmed(env: CliEnv, planned: readonly Step[]): Promise<boolean> {
  const list = planned.map(({ what }) => `  ${printable(what)}\n`).join('');
  const answer = await env.ask(`This removes:\n${list}Go on? [y/N] `);
  return answer === undefined || /^y(es)?$/i.test(answer.trim());
}

/**
 * A node that cannot be removed does not keep the others from it. The rules in pods stay then: without them, a node
 * that is still in force would break the connections of its pods.
 */
async function remove(
  env: CliEnv,
  screen: Screen,
  { roots, cleaners, owned }: Scope,
): Promise<readonly Step[]> {
  const others = env.datapath.othersNamespaces(owned);
  const steps: Step[] = [];
  const attempt = async (what: string, act: () => Promise<unknown>): Promise<void> => {
    try {
      await act();
      steps.push({ what, result: 'removed', message: null });
    } catch (thrown) {
      const error = asMeshError(thrown);
      env.stderr.write(`${errorText(error, screen.paintHint)}\n`);
      steps.push({ what, result: 'failed', message: error.message });
    }
  };
  for (const { path } of roots) {
    await attempt(
      `BPF programs and maps pinned in ${path}`,
      async () => await Promise.resolve(env.datapath.uninstall(path)),
    );
  }
  if (steps.some(({ result }) => result === 'failed')) {
    const message = 'a node that could not be removed still needs it';
    return [...steps, ...cleaners.map(({ name }): Step => ({ what: name, result: 'failed', message }))];
  }
  for (const cleaner of cleaners) await attempt(cleaner.name, async () => await cleaner.remove(others));
  return steps;
}

/** What is outside of the datapath's pins, a line each. */
async function findings({ datapath }: CliEnv, { cleaners, owned }: Scope): Promise<readonly string[]> {
  const others = datapath.othersNamespaces(owned);
  return (await Promise.all(cleaners.map(async (cleaner) => await cleaner.find(others)))).flat();
}

/** The kernel's word on what is this mesh's. */
async function leftovers(env: CliEnv, screen: Screen, scope: Scope): Promise<readonly string[]> {
  const { datapath } = env;
  const paths = scope.roots.map(({ path }) => path);
  const left = await datapath.leftovers(paths, scope.owned);
  const unclaimed = datapath.unclaimed(scope.owned).map(lineOf);
  if (unclaimed.length > 0) {
    screen.hint(
      `not counted, for they are attached nowhere (another mesh that starts?): ${printable(unclaimed.join(', '))}`,
    );
  }
  return [...left.map(lineOf), ...(await findings(env, scope))];
}

const lineOf = ({ kind, name }: Leftover): string => `${kind} ${name}`;

function report(
  screen: Screen,
  { output }: Options,
  steps: readonly Step[],
  left: readonly string[] | undefined,
): ExitCode {
  if (output === 'json' || output === 'yaml') {
    printDocument(
      screen,
      output,
      listDocument('UninstallReport', { items: steps, leftovers: left ?? null }, []),
    );
  } else {
    printReport(screen, steps, left);
  }
  const removed = steps.some(({ result }) => result === 'failed') ? exitCodes.undecided : exitCodes.clean;
  return worse(removed, left === undefined || left.length === 0 ? exitCodes.clean : exitCodes.findings);
}

function printReport(screen: Screen, steps: readonly Step[], left: readonly string[] | undefined): void {
  if (steps.length === 0) screen.data('nothing is installed');
  const marks = { removed: 'removed', planned: 'would remove', failed: 'NOT removed' } as const;
  for (const { what, result } of steps) screen.data(`${marks[result]}  ${printable(what)}`);
  if (left === undefined) return;
  const verdict =
    left.length === 0
      ? `${screen.paint('green', 'clean')}: the kernel has nothing of this mesh left`
      : `${screen.paint('red', 'LEFT')}: ${plural(left.length, 'thing')}`;
  screen.data(verdict);
  for (const line of left) screen.data(`  ${printable(line)}`);
}
