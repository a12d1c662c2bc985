/** `policy diff`: which connections seen lately would be judged differently by other policies. */
import { type Command, Option } from 'commander';
import { MeshError } from '../../../base/errors.ts';
import { parseManifestsAndOthers } from '../../../kube/parse-manifests.ts';
import { formatProblem } from '../../../kube/problem.ts';
import {
  type ChangedVerdictItem,
  type DecidedItem,
  maxAdminBodyBytes,
  type RehearsalDocument,
} from '../../../telemetry/admin-api.ts';
import {
  type CommandContext,
  examples,
  type OutputOptions,
  withNamespace,
  withNodes,
  withOutput,
} from '../../command.ts';
import type { CliEnv } from '../../env.ts';
import type { ExitCode } from '../../exit-codes.ts';
import { formatAge, plural } from '../../format.ts';
import { itemsOf } from '../../list-command.ts';
import { printNodeListing } from '../../listing.ts';
import { askNodes, type NodeSelection } from '../../nodes.ts';
import { readFiles } from '../../offline/read-files.ts';
import type { Cell, Column } from '../../table.ts';

interface DiffOptions extends NodeSelection, OutputOptions {
  readonly files: readonly string[];
  readonly namespace?: string;
  readonly prune?: boolean;
}

export function addPolicyDiffCommand(policy: Command, context: CommandContext): void {
  const command = policy
    .command('diff')
    .description('show which connections seen lately other policies would judge differently')
    .addOption(
      new Option('-f, --files <path>', 'policies to be: a file, a directory, or - ; may be repeated')
        .argParser(collected)
        .makeOptionMandatory(),
    )
    .option('--prune', 'all others are left out; with -n those of that namespace only')
    .addHelpText(
      'after',
      '\nThe nodes judge the connections that they remember, by the policies in force and by those in force with the\n' +
        'files’ in place of their namesakes. Of what leaves the mesh they remember only what was refused, and what ztunnel\n' +
        'carried: of the rest it cannot be said what a stricter NamespaceAccess would refuse.',
    )
    .addHelpText(
      'after',
      examples(
        'policy diff -f new.yaml',
        'policy diff -f policies/ --prune -n shop',
        'policy suggest -n shop | mesh-ebpf policy diff -f -',
      ),
    )
    .addHelpText('after', exitStatus);
  withNamespace(withOutput(withNodes(command))).action(
    context.action(async (options: DiffOptions) => await diff(context, options)),
  );
}

/** One more of an option that may be repeated. */
const collected = (path: string, before?: readonly string[]): readonly string[] => [...(before ?? []), path];

const exitStatus = `
Exit status:
  0  nothing changes
  1  some connections would be judged differently
  2  the command line is not valid
  3  could not find out: the files are not in order, a node did not answer, or a permission is missing`;

async function diff(context: CommandContext, options: DiffOptions): Promise<ExitCode> {
  const { env } = context;
  const query = new URLSearchParams();
  if (options.prune === true) query.set('prune', 'true');
  if (options.prune === true && options.namespace !== undefined) query.set('namespace', options.namespace);
  const { documents, unreachable } = await askNodes<RehearsalDocument>(env, options, {
    target: `/v1/policies/rehearsal?${query.toString()}`,
    kind: 'PolicyRehearsal',
    method: 'PUT',
    body: await policiesIn(env, options.files),
  });
  const items = itemsOf(documents)
    .filter(({ namespace }) => options.namespace === undefined || namespace === options.namespace)
    .toSorted((a, b) => Number(a.after.allowed) - Number(b.after.allowed) || b.count - a.count);
  const sum = (field: 'judged' | 'unjudged'): number =>
    documents.reduce((total, each) => total + each[field], 0);
  const [judged, unjudged] = [sum('judged'), sum('unjudged')];
  const egress = {
    judged: documents.reduce((total, each) => total + each.egress.judged, 0),
    isChanged: documents.some((each) => each.egress.isChanged),
  };
  const code = printNodeListing(context.screen(), options.output, {
    kind: 'PolicyRehearsal',
    rows: items,
    columns: columnsAt(env.clock.now()),
    name: ({ namespace, owner, port, destination }) => destination ?? `${namespace}/${owner}:${port}`,
    finding: () => true,
    extra: { judged, unjudged, egress },
    unreachable,
    empty: `none of ${plural(judged, 'connection')} seen lately would be judged differently`,
  });
  if (unjudged > 0) {
    context.screen().hint(`${plural(unjudged, 'connection')} to pods that are gone could not be judged`);
  }
  if (egress.isChanged) context.screen().hint(egressHint(egress.judged));
  return code;
}

/** Nobody sees what the kernel lets straight out of the mesh. */
const egressHint = (judged: number): string =>
  `of egress ${plural(judged, 'connection')} could be judged: those refused, and those that ztunnel carried. ` +
  'What went straight out of the mesh is not remembered, so more may be refused than is shown here';

const policyKinds: ReadonlySet<string> = new Set([
  'AuthorizationPolicy',
  'PeerAuthentication',
  'NamespaceAccess',
]);

/** The policies of the files, and nothing else of them. @throws MeshError INVALID_MANIFEST with every problem, a line each */
async function policiesIn(env: CliEnv, paths: readonly string[]): Promise<string> {
  const { objects, errors } = parseManifestsAndOthers(await readFiles(env, paths), { strict: true });
  if (errors.length > 0) throw new MeshError('INVALID_MANIFEST', errors.map(formatProblem).join('\n'));
  const items = objects.map(({ object }) => object).filter(({ kind }) => policyKinds.has(kind));
  const body = JSON.stringify({ apiVersion: 'v1', kind: 'List', items });
  if (Buffer.byteLength(body) <= maxAdminBodyBytes) return body;
  throw new MeshError('INVALID_ARGUMENT', `the policies have more than ${maxAdminBodyBytes} bytes`, {
    hint: 'give those that change, in several turns',
  });
}

function columnsAt(now: number): readonly Column<ChangedVerdictItem>[] {
  return [
    { header: 'WOULD BE', cell: change },
    { header: 'COUNT', cell: ({ count }) => String(count), align: 'right' },
    { header: 'LAST', cell: ({ lastSeen }) => formatAge(now - Date.parse(lastSeen)) },
    { header: 'FROM', cell: source, shrink: true },
    { header: 'TO', cell: target, shrink: true },
    { header: 'BY', cell: ({ after }) => decision(after), shrink: true },
    { header: 'NOW BY', cell: ({ before }) => decision(before), wide: true },
  ];
}

const change = ({ after }: ChangedVerdictItem): Cell =>
  after.allowed ? { text: 'allowed', style: 'green' } : { text: 'DENIED', style: 'red' };

function source({ identity, sourceIp, sourceName }: ChangedVerdictItem): string {
  if (identity !== null) return identity.replace(/^spiffe:\/\//, '');
  return `plaintext ${sourceIp}${sourceName === null ? '' : ` (${sourceName})`}`;
}

function target({ destination, namespace, owner, port }: ChangedVerdictItem): string {
  return destination ?? `${namespace}/${owner.split('/')[1] ?? owner}:${port}`;
}

const decision = ({ policy, reason }: DecidedItem): string => `${policy ?? 'default'}: ${reason}`;
