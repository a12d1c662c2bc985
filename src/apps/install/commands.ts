/**
 * `install`: puts the mesh into a cluster. What it applies is what `kubectl apply -k daemonset/` applies, and the
 * definitions of the policies' kinds (`daemonset/crds`) where there are none.
 */
import { type Command, Option } from 'commander';
import { stringify } from 'yaml';
import { type CommandContext, examples, type OutputOptions, withOutput } from '../../cli/command.ts';
import { type ExitCode, exitCodes, exitCodesHelp } from '../../cli/exit-codes.ts';
import { listDocument } from '../../cli/listing.ts';
import { printDocument } from '../../cli/output.ts';
import type { Screen } from '../../cli/screen.ts';
import { parseDuration } from '../../cli/usage.ts';
import { fromKubeconfig, type KubeConfigOptions } from '../../kube/client/kube-config.ts';
import { HttpKubeClient } from '../../kube/client/kube-client.ts';
import { applyAll, createAbsent, endCleaning, nameOf, rolledOut } from './cluster.ts';
import { securityCrds } from './crds.ts';
import { kustomize, type Manifest } from './kustomize.ts';
import { manifestFiles } from './manifest-files.ts';
import { settings, withSettings } from './settings.ts';

interface InstallFlags extends KubeConfigOptions, OutputOptions {
  readonly set?: readonly string[];
  readonly overlay?: string;
  readonly dryRun?: boolean;
  readonly wait: boolean;
  readonly timeout: number;
}

const settingsHelp = `\nSettings for --set:\n${Object.entries(settings)
  .map(([key, { help }]) => `  ${key.padEnd(20)} ${help}`)
  .join('\n')}`;

export function addInstallCommand(program: Command, context: CommandContext): void {
  const command = program
    .command('install')
    .description('put the mesh into a cluster: what kubectl apply -k daemonset/ does, and wait for it')
    .option('--set <key=value...>', 'change a setting; see below')
    .addOption(
      new Option('--overlay <name>', 'more than the mesh itself').choices(['monitoring', 'network-policy']),
    )
    .option('--dry-run', 'change nothing; with -o yaml, print the manifests')
    .option('--no-wait', 'do not wait until it runs everywhere')
    .addOption(
      new Option('--timeout <duration>', 'longest wait').argParser(parseDuration).default(300_000, '5m'),
    )
    .option('--kubeconfig <file>', 'instead of $KUBECONFIG and ~/.kube/config')
    .option('--context <name>', 'a context of it')
    .addHelpText('after', settingsHelp)
    .addHelpText(
      'after',
      examples(
        'install',
        'install --dry-run -o yaml',
        'install --set image=registry.example/mesh-ebpf:0.1.0 --set logLevel=debug',
      ),
    )
    .addHelpText('after', exitCodesHelp);
  withOutput(command, ['table', 'json', 'yaml']).action(
    context.action(async (flags: InstallFlags) => await install(context, flags)),
  );
}

async function install(context: CommandContext, flags: InstallFlags): Promise<ExitCode> {
  const screen = context.screen();
  const directory = flags.overlay === undefined ? 'base' : `overlays/${flags.overlay}`;
  const manifests = withSettings(kustomize(manifestFiles(), directory), flags.set ?? []);
  if (flags.dryRun === true) return print(screen, flags.output, manifests);
  const { env } = context;
  const client = new HttpKubeClient(await fromKubeconfig(flags), { signal: env.interrupted });
  const isTable = flags.output === 'table';
  const wait = { timeoutMs: flags.timeout, progress: (line: string) => screen.hint(line) };
  await endCleaning(client, manifests, wait);
  const tell = (manifest: Manifest): void => {
    if (isTable) screen.data(`applied  ${nameOf(manifest)}`);
  };
  // Before the node programs ask for these kinds.
  await createAbsent(client, securityCrds(), tell);
  await applyAll(client, manifests, tell);
  if (flags.wait) await rolledOut(client, manifests, wait);
  if (!isTable) printDocument(screen, flags.output === 'json' ? 'json' : 'yaml', report(manifests));
  screen.hint('next: kubectl label namespace NAME istio.io/dataplane-mode=ambient');
  return exitCodes.clean;
}

const report = (manifests: readonly Manifest[]): object =>
  listDocument('InstallReport', { items: manifests.map((manifest) => ({ applied: nameOf(manifest) })) }, []);

/** In YAML as kubectl takes it; in JSON as one List. */
function print(screen: Screen, output: string, manifests: readonly Manifest[]): ExitCode {
  if (output === 'yaml') {
    screen.data(manifests.map((manifest) => stringify(manifest, { lineWidth: 0 }).trimEnd()).join('\n---\n'));
  } else if (output === 'json') {
    printDocument(screen, 'json', { apiVersion: 'v1', kind: 'List', items: manifests });
  } else {
    for (const manifest of manifests) screen.data(`would apply  ${nameOf(manifest)}`);
  }
  return exitCodes.clean;
}
