/** `npm run cluster -- COMMAND`: a real Kubernetes cluster on this machine. README.md says what it is made of. */
import { Command, InvalidArgumentError, Option } from 'commander';
import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { asMeshError } from '../../src/base/errors.ts';
import { errorText } from '../../src/cli/error-text.ts';
import { renderReport } from '../bench/report.ts';
import { ensureBuilt } from './artifacts/build.ts';
import { writeImage } from './artifacts/image.ts';
import { bench, clusterRows } from './bench/run.ts';
import { createContext, running } from './commands/context.ts';
import { restoreEtcd, saveEtcd, start, stop, wipeEtcd } from './commands/control.ts';
import { demo } from './commands/demo.ts';
import { down } from './commands/down.ts';
import { reboot } from './commands/reboot.ts';
import { status } from './commands/status.ts';
import { up } from './commands/up.ts';
import { environment } from './machine/daemons.ts';
import { execHere } from './machine/exec.ts';
import { commandOnNode, loadImage } from './machine/node.ts';
import { seconds, step } from './machine/progress.ts';
import { findNode, nodesOf } from './machine/state.ts';
import { type ProxyMode, proxyModes } from './plan/daemons.ts';
import { maxNodes } from './plan/layout.ts';

const context = createContext((line) => process.stderr.write(`  cluster  ${line}\n`));
const print = (text: string): unknown => process.stdout.write(`${text}\n`);

const program = new Command('npm run cluster --')
  .description('A real Kubernetes cluster on this machine, from Debian packages and Go modules. Needs root.')
  .enablePositionalOptions()
  .helpCommand(false)
  .configureHelp({ sortSubcommands: false });

program
  .command('up')
  .description('build what is missing (minutes, once) and start the cluster')
  .option('--nodes <number>', `how many nodes, 1 to ${maxNodes}`, parseNodes, 2)
  .addOption(
    new Option('--proxy-mode <mode>', 'how kube-proxy does Services').choices(proxyModes).default('nftables'),
  )
  .option('--dual-stack', 'IPv6 beside IPv4', false)
  .action(async ({ nodes, ...options }: { nodes: number; proxyMode: ProxyMode; dualStack: boolean }) => {
    const startedAt = performance.now();
    await up(context, { owner: 'person', nodeCount: nodes, ...options });
    print(`The cluster is up after ${seconds(performance.now() - startedAt)}. Use it with:

  eval "$(npm run --silent cluster -- env)"
  kubectl get pods --all-namespaces`);
  });

program
  .command('down')
  .description('end it and remove every trace of it')
  .action(async () => {
    const { processes, namespaces } = await step(context.progress, 'ending the cluster', () => down(context));
    print(`Removed: ${processes} processes, ${namespaces} network namespaces. Nothing is left.`);
  });

program
  .command('status')
  .description('show its daemons; exit status 1 when one of them does not run')
  .action(async () => {
    const found = await status(context);
    const lines = found?.daemons.map(({ name, pid }) => `${name.padEnd(26)} ${pid ?? 'does not run'}`);
    print(lines?.join('\n') ?? 'No cluster is up.');
    process.exitCode =
      found?.complete === true && found.daemons.every(({ pid }) => pid !== undefined) ? 0 : 1;
  });

program
  .command('env')
  .description('print KUBECONFIG and PATH for a shell to eval')
  .action(async () => {
    const { machine } = await running(context);
    print(`export KUBECONFIG=${machine.layout.adminKubeconfig} PATH=${machine.bin}:$PATH`);
  });

program
  .command('node')
  .description('run a command as on a node: in its network, mount and process namespaces')
  .argument('<node>', 'its number or name')
  .argument('<command...>')
  .passThroughOptions()
  .action(async (name: string, [file = '', ...args]: readonly string[]) => {
    const { machine, state } = await running(context);
    const argv = await commandOnNode(machine, findNode(state, name), [file, ...args]);
    process.exitCode = await execHere(argv, { ...process.env, ...environment(machine.bin) });
  });

program
  .command('image')
  .description('write an OCI image archive of local files')
  .argument('<name>', 'such as example/app:1')
  .argument('<archive>', 'the file to write')
  .argument('[files...]', 'FILE=/path/in/image, or @layer.tar for a root file system')
  .requiredOption('--entrypoint <words...>', 'what the container runs')
  .action(
    async (name: string, archive: string, files: readonly string[], options: { entrypoint: string[] }) => {
      const layers = files.filter((word) => word.startsWith('@')).map((word) => word.slice(1));
      const pairs = files.filter((word) => !word.startsWith('@')).map(parsePair);
      await writeImage(resolve(archive), { name, layers, files: Object.fromEntries(pairs), ...options });
    },
  );

program
  .command('load')
  .description('give an image archive to every node')
  .argument('<archive>')
  .action(async (archive: string) => {
    const { machine, state } = await running(context);
    for (const node of nodesOf(state)) {
      await step(context.progress, `${node.name}: loading ${archive}`, () =>
        loadImage(machine, node, resolve(archive)),
      );
    }
  });

program
  .command('reboot')
  .description('a node dies at once and boots again: its disk stays, /run and BPF pins do not')
  .argument('<node>', 'its number or name')
  .action((node: string) => reboot(context, node));

program
  .command('stop')
  .description('stop one daemon: kube-apiserver, kubelet@node-1, ... (names: status)')
  .argument('<daemon>')
  .option('--kill', 'at once, with SIGKILL')
  .action((name: string, { kill }: { kill?: boolean }) =>
    stop(context, name, kill === true ? 'SIGKILL' : 'SIGTERM'),
  );

program
  .command('start')
  .description('start a daemon that was stopped or died')
  .argument('<daemon>')
  .action((name: string) => start(context, name));

const etcd = program
  .command('etcd')
  .description('keep, empty and bring back everything the API server knows');
etcd
  .command('save')
  .argument('<directory>')
  .action((directory: string) => saveEtcd(context, resolve(directory)));
etcd
  .command('restore')
  .argument('<directory>')
  .action((directory: string) => restoreEtcd(context, resolve(directory)));
etcd.command('wipe').action(() => wipeEtcd(context));

program
  .command('demo')
  .description(
    'start the cluster, install the mesh, label a namespace and show what changes (after make image)',
  )
  .option('--keep', 'leave the cluster running')
  .action(async ({ keep }: { keep?: boolean }) => {
    process.exitCode = (await demo(context, keep === true, print)) ? 0 : 1;
  });

program
  .command('bench')
  .description(
    'the scenarios of docs/performance.md, without a mesh and in it (after make image); missed targets do not fail',
  )
  .addOption(
    new Option('--only <row...>', 'these rows alone').choices(clusterRows.map(({ id }) => id)).default([]),
  )
  .option('--rounds <number>', 'how often steady load is measured', parseRounds, 3)
  .option('--json <file>', 'write everything that was measured there as well')
  .option('--max-minutes <number>', 'begin nothing more after so long', parseMinutes, 30)
  .option('--keep', 'leave the cluster running')
  .action(async ({ only, rounds, json, maxMinutes, keep = false }: BenchFlags) => {
    const rows = clusterRows.filter(({ id }) => only.length === 0 || only.includes(id));
    const report = await bench({ rows, rounds, keep, maxMinutes });
    if (json !== undefined) writeFileSync(json, `${JSON.stringify(report, undefined, 2)}\n`);
    print(`\n${renderReport(report)}`);
    process.exitCode = report.problems.length === 0 ? 0 : 1;
  });

interface BenchFlags {
  readonly only: readonly string[];
  readonly rounds: number;
  readonly json?: string;
  readonly keep?: boolean;
  readonly maxMinutes: number;
}

program
  .command('build')
  .description('only build what `up` needs')
  .action(async () => {
    print(`Built: ${(await ensureBuilt(context.cache, context.progress)).bin}`);
  });

function parseNodes(text: string): number {
  const count = /^\d$/.test(text) ? Number(text) : 0;
  if (count >= 1 && count <= maxNodes) return count;
  throw new InvalidArgumentError(`It is a number from 1 to ${maxNodes}.`);
}

function parseRounds(text: string): number {
  const count = /^\d\d?$/.test(text) ? Number(text) : 0;
  if (count >= 1 && count <= 20) return count;
  throw new InvalidArgumentError('It is a number from 1 to 20.');
}

function parseMinutes(text: string): number {
  const minutes = /^\d{1,3}$/.test(text) ? Number(text) : 0;
  if (minutes >= 1) return minutes;
  throw new InvalidArgumentError('It is a number from 1 to 999.');
}

function parsePair(word: string): [string, string] {
  const at = word.indexOf('=');
  const [source, path] = [word.slice(0, at), word.slice(at + 1)];
  if (at > 0 && path.startsWith('/')) return [path, resolve(source)];
  throw new InvalidArgumentError(`"${word}" is not FILE=/path/in/image.`);
}

try {
  await program.parseAsync();
} catch (thrown) {
  process.stderr.write(`${errorText(asMeshError(thrown), (_, text) => text)}\n`);
  process.exitCode = 1;
}
