/** `ca`: the certificate authority, looked at and rotated by command. Running controllers follow. */
import { type Command, Option } from 'commander';
import { MeshError } from '../base/errors.ts';
import { type CommandContext, examples, type OutputOptions, withOutput } from '../cli/command.ts';
import { type ExitCode, exitCodes } from '../cli/exit-codes.ts';
import { printListing } from '../cli/output.ts';
import type { Column } from '../cli/table.ts';
import { parseDuration, parseName } from '../cli/usage.ts';
import type { AuthorityStatus } from '../controller/ca/authority.ts';
import { describeStage } from '../controller/ca/rotation-stage.ts';
import type { Caller } from '../controller/caller.ts';
import { meshNamespace } from '../controller/kubernetes/names.ts';
import { makeJoinToken, revokeJoinToken } from '../controller/join-tokens.ts';
import { fromKubeconfig, type KubeConfigOptions } from '../kube/client/kube-config.ts';
import { HttpKubeClient } from '../kube/client/kube-client.ts';
import type { NodeName } from '../model/mesh.ts';
import { type AuthorityAccess, authorityInCluster, authorityInDirectory } from './ca-access.ts';

interface CaFlags extends KubeConfigOptions {
  readonly caDir: string;
  readonly trustDomain: string;
  readonly cluster?: boolean;
  readonly meshNamespace: string;
  readonly timeout: number;
}

interface TokenFlags {
  readonly tokens: string;
  readonly node?: string;
  readonly serviceAccount?: string;
}

type Lineage = AuthorityStatus['lineages'][number];

export function addCaCommands(program: Command, context: CommandContext): void {
  const ca = program
    .command('ca')
    .description('look at the certificate authority, rotate it, make join tokens (where its directory is)')
    .addHelpText('after', examples('ca status', 'ca rotate root --cluster', 'ca token create --node node-c'));
  withOutput(withAuthority(ca.command('status').description('roots and intermediates, and until when')), [
    'table',
    'json',
    'yaml',
  ]).action(context.action((flags: CaFlags & OutputOptions) => showStatus(context, flags)));
  addRotate(ca, context);
  addTokens(ca, context);
}

const withAuthority = (command: Command): Command =>
  withCluster(
    command
      .option('--ca-dir <directory>', 'the authority’s directory', '/var/lib/mesh-ebpf/ca')
      .option('--trust-domain <name>', 'its trust domain', 'cluster.local')
      .option('--cluster', 'the authority of a cluster, through its API server'),
  );

/** Where the API server is, and where the mesh is in the cluster. */
const withCluster = (command: Command): Command =>
  command
    .option('--kubeconfig <file>', 'with --cluster: instead of $KUBECONFIG and ~/.kube/config')
    .option('--context <name>', 'with --cluster: a context of it')
    .addOption(
      new Option('--mesh-namespace <name>', 'with --cluster: where the mesh is installed')
        .argParser(parseName)
        .default(meshNamespace),
    )
    .addOption(
      new Option('--timeout <duration>', 'with --cluster: longest wait for a controller')
        .argParser(parseDuration)
        .default(60_000, '1m'),
    );

async function open(flags: CaFlags, { env }: CommandContext): Promise<AuthorityAccess> {
  if (flags.cluster !== true) return authorityInDirectory(flags.caDir, flags.trustDomain, env.clock);
  const client = new HttpKubeClient(await fromKubeconfig(flags), { signal: env.interrupted });
  return authorityInCluster(client, { namespace: flags.meshNamespace, timeoutMs: flags.timeout });
}

async function showStatus(context: CommandContext, flags: CaFlags & OutputOptions): Promise<ExitCode> {
  const { lineages, trustDomain, rotation } = await (await open(flags, context)).status();
  const screen = context.screen();
  printListing(screen, flags.output, {
    rows: lineages,
    columns,
    name: ({ rootExpires }) => `root/${iso(rootExpires)}`,
    document: {
      apiVersion: 'mesh-ebpf.io/v1alpha1',
      kind: 'AuthorityStatus',
      trustDomain,
      rotation,
      lineages,
    },
    empty: 'the authority has no root',
  });
  screen.hint(describeStage(rotation));
  return exitCodes.clean;
}

const iso = (ms: number): string => new Date(ms).toISOString().slice(0, 16).replace('T', ' ');

const columns: readonly Column<Lineage>[] = [
  { header: 'SIGNS', cell: ({ issuing, issuesFrom }) => (issuing ? 'now' : `from ${iso(issuesFrom)}`) },
  { header: 'ROOT EXPIRES', cell: ({ rootExpires }) => iso(rootExpires) },
  { header: 'INTERMEDIATE EXPIRES', cell: ({ intermediateExpires }) => iso(intermediateExpires) },
  {
    header: 'TRUSTED UNTIL',
    cell: ({ trustedUntil }) => (trustedUntil === undefined ? 'its end' : iso(trustedUntil)),
  },
];

function addRotate(ca: Command, context: CommandContext): void {
  const rotate = ca.command('rotate').description('replace a signing key; nothing is interrupted');
  withAuthority(rotate.command('intermediate').description('a new intermediate signs at once')).action(
    context.action(async (flags: CaFlags) => {
      await (await open(flags, context)).rotate('intermediate');
      context.screen().data('the intermediate is replaced; certificates in use stay valid');
      return exitCodes.clean;
    }),
  );
  withAuthority(
    rotate.command('root').description('a new root: trusted at once, signing after one leaf lifetime'),
  )
    .addOption(
      new Option(
        '--overlap <duration>',
        'shorten that lifetime in an emergency; connections may fail',
      ).argParser(parseDuration),
    )
    .action(
      context.action(async (flags: CaFlags & { readonly overlap?: number }) => {
        await (await open(flags, context)).rotate('root', flags.overlap);
        context
          .screen()
          .data(
            'a new root is trusted from now on; mesh-ebpf ca status tells which stage the rotation is in',
          );
        return exitCodes.clean;
      }),
    );
}

const withCaller = (command: Command): Command =>
  command
    .requiredOption('--tokens <file>', 'the controller’s file of token hashes')
    .addOption(new Option('--node <name>', 'for a node').argParser(parseName).conflicts('serviceAccount'))
    .option('--service-account <namespace/name>', 'for one workload that asks for itself');

function addTokens(ca: Command, context: CommandContext): void {
  const token = ca.command('token').description('secrets by which nodes and workloads join');
  withCaller(
    token.command('create').description('print a new token, once; an older one of the same name ends'),
  ).action(
    context.action((flags: TokenFlags) => {
      context.screen().data(makeJoinToken(flags.tokens, callerOf(flags)));
      return Promise.resolve(exitCodes.clean);
    }),
  );
  withCaller(token.command('revoke').description('make a token worthless')).action(
    context.action((flags: TokenFlags) => {
      const had = revokeJoinToken(flags.tokens, callerOf(flags));
      context.screen().hint(had ? 'the token is revoked' : 'there was no such token');
      return Promise.resolve(had ? exitCodes.clean : exitCodes.findings);
    }),
  );
}

function callerOf({ node, serviceAccount }: TokenFlags): Caller {
  if (node !== undefined) return { type: 'node', node: node as NodeName };
  const [namespace, name, ...rest] = serviceAccount?.split('/') ?? [];
  if (namespace === undefined || name === undefined || rest.length > 0) {
    throw new MeshError(
      'INVALID_ARGUMENT',
      'whose token? give --node NAME or --service-account NAMESPACE/NAME',
    );
  }
  return { type: 'workload', namespace: parseName(namespace), serviceAccount: parseName(name) };
}
