/** `policy lint`: mistakes in policies that are no errors to an API server, in files or in the running mesh. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { asMeshError } from '../../../base/errors.ts';
import { listObjects, type KubeObject } from '../../../kube/client/kube-objects.ts';
import { resources } from '../../../kube/client/resources.ts';
import { fieldLocator } from '../../../kube/locate-fields.ts';
import { placedFindings } from '../../../kube/policy-findings.ts';
import { isLintCode, lintCodes } from '../../../policy/lint/finding.ts';
import { lint } from '../../../policy/lint/lint.ts';
import {
  maxAdminBodyBytes,
  type PolicyFindingItem,
  type PolicyFindingList,
} from '../../../telemetry/admin-api.ts';
import { findingItem } from '../../../telemetry/finding-items.ts';
import { chooseCluster } from '../../cluster/choose.ts';
import {
  type CommandContext,
  examples,
  type OutputOptions,
  withNamespace,
  withNodes,
  withOutput,
} from '../../command.ts';
import type { Cluster } from '../../env.ts';
import { configOf, refuseFileOptions, type WhomOptions, withFiles } from '../../explain/options.ts';
import { type ExitCode, exitCodes, exitCodesHelp } from '../../exit-codes.ts';
import { listDocument, reportUnreachable } from '../../listing.ts';
import { localNodes } from '../../local-nodes.ts';
import { askAny } from '../../nodes.ts';
import { filesToLint } from '../../offline/lint-input.ts';
import { readFiles } from '../../offline/read-files.ts';
import { printListing } from '../../output.ts';
import { plural } from '../../format.ts';
import type { Screen } from '../../screen.ts';
import type { Cell, Column } from '../../table.ts';

interface LintOptions extends WhomOptions, OutputOptions {
  readonly namespace?: string;
  readonly strict?: boolean;
  readonly ignore: readonly Ignored[];
}

export function addPolicyLintCommand(policy: Command, context: CommandContext): void {
  const command = policy
    .command('lint')
    .description('find mistakes in policies: in manifests, or in the running mesh')
    .option('--strict', 'warnings count as errors')
    .addOption(
      new Option('--ignore <code>', 'not these: CODE, or CODE=NAMESPACE/NAME; may be given again')
        .argParser(parseIgnored)
        .default([], 'none'),
    )
    .addHelpText('after', `\nWhat is found:\n${codesHelp()}`)
    .addHelpText(
      'after',
      examples(
        'policy lint --files policies/ --files manifests/',
        'policy lint --files policy.yaml --strict -o json',
        'policy lint -n shop --ignore any-identity --ignore redundant-rule=shop/db',
      ),
    )
    .addHelpText('after', exitCodesHelp);
  withFiles(withNamespace(withOutput(withNodes(command)))).action(
    context.action(async (options: LintOptions) =>
      options.files === undefined
        ? await lintMesh(context, options)
        : await lintFiles(context, options, options.files),
    ),
  );
}

const codesHelp = (): string =>
  Object.entries(lintCodes)
    .map(([code, { severity, text }]) => `  ${code.padEnd(20)} ${severity.padEnd(8)} ${text}`)
    .join('\n');

interface Ignored {
  readonly code: string;
  /** `NAMESPACE/NAME`; undefined: everywhere. */
  readonly object: string | undefined;
}

function parseIgnored(text: string, before: readonly Ignored[]): readonly Ignored[] {
  const [code = '', object] = text.split('=', 2);
  if (!isLintCode(code)) throw new InvalidArgumentError(`"${code}" is no code of a finding.`);
  if (object !== undefined && !/^[a-z0-9.-]+\/[a-z0-9.-]+$/.test(object)) {
    throw new InvalidArgumentError('Give CODE or CODE=NAMESPACE/NAME.');
  }
  return [...before, { code, object }];
}

async function lintFiles(
  context: CommandContext,
  options: LintOptions,
  paths: readonly string[],
): Promise<ExitCode> {
  const files = await readFiles(context.env, paths);
  const { input, problems, notes } = filesToLint(files, configOf(options));
  const placed = placedFindings(problems, lint(input), fieldLocator(files));
  const screen = context.screen();
  for (const note of notes) screen.hint(note);
  const { policies, peerAuthentications, access } = input.view;
  const looked = policies.size + peerAuthentications.size + access.size + input.networkPolicies.length;
  return report(screen, options, placed.map(findingItem), `in ${plural(looked, 'policy object')}`);
}

/** Every node knows all policies: the first that answers is asked. */
async function lintMesh(context: CommandContext, options: LintOptions): Promise<ExitCode> {
  refuseFileOptions(options);
  const screen = context.screen();
  const body = await networkPolicies(context, options, screen);
  const { document, unreachable } = await askAny<PolicyFindingList>(context.env, options, {
    target: '/v1/policies/lint',
    kind: 'PolicyFindingList',
    method: 'PUT',
    body,
  });
  if (document === undefined) return reportUnreachable(screen, unreachable);
  return report(screen, options, document.items, `in the policies that node ${document.node} knows`);
}

/** With the rights of whoever asks: the nodes have none to these. */
async function networkPolicies(
  { env }: CommandContext,
  options: LintOptions,
  screen: Screen,
): Promise<string> {
  const isLocal = async (): Promise<boolean> => (await localNodes(env)).length > 0;
  const cluster = options.socket === undefined ? await chooseCluster(env, options, isLocal) : undefined;
  if (cluster === undefined) return '';
  try {
    const items = await listObjects<NetworkPolicyItem>(cluster.client, resources.networkPolicies, {});
    const namespaces = items.some(asksForNamespaces) ? await namespaceLabels(cluster, screen) : [];
    const body = JSON.stringify({ items: items.map(withoutRest), namespaces });
    if (Buffer.byteLength(body) <= maxAdminBodyBytes) return body;
    screen.hint(`NetworkPolicies were not looked at: ${items.length} of them are more than a node takes`);
    return '';
  } catch (thrown) {
    const { message } = asMeshError(thrown);
    screen.hint(`NetworkPolicies were not looked at: ${message}`);
    return '';
  }
}

interface NetworkPolicyItem extends KubeObject {
  readonly spec?: unknown;
}

const withoutRest = ({ metadata: { name, namespace }, spec }: NetworkPolicyItem): object => ({
  apiVersion: 'networking.k8s.io/v1',
  kind: 'NetworkPolicy',
  metadata: { name, namespace },
  spec,
});

/** As text: what the schema says of it the node sees to. */
const asksForNamespaces = ({ spec }: NetworkPolicyItem): boolean =>
  JSON.stringify(spec ?? {}).includes('"namespaceSelector"');

/** Without them a NetworkPolicy that selects namespaces is judged as far as it can be. */
async function namespaceLabels({ client }: Cluster, screen: Screen): Promise<readonly object[]> {
  try {
    const items = await listObjects<KubeObject>(client, resources.namespaces, {});
    return items.map(({ metadata: { name, labels } }) => ({ name, labels }));
  } catch (thrown) {
    screen.hint(`labels of namespaces are not known to NetworkPolicies: ${asMeshError(thrown).message}`);
    return [];
  }
}

function report(
  screen: Screen,
  options: LintOptions,
  items: readonly PolicyFindingItem[],
  where: string,
): ExitCode {
  const wanted = items.filter((item) => isWanted(item, options));
  printListing(screen, options.output, {
    rows: wanted,
    columns,
    name: ({ code, namespace, name }) => `${code}=${namespace}/${name}`,
    document: listDocument('PolicyFindingList', { items: wanted }, []),
    empty: `nothing found ${where}`,
  });
  if (wanted.length > 0) screen.hint(summary(wanted, items.length - wanted.length));
  const counts = wanted.some(
    ({ severity }) => severity === 'error' || (options.strict === true && severity === 'warning'),
  );
  return counts ? exitCodes.findings : exitCodes.clean;
}

function isWanted({ code, namespace, name }: PolicyFindingItem, options: LintOptions): boolean {
  if (options.namespace !== undefined && namespace !== null && namespace !== options.namespace) return false;
  return !options.ignore.some(
    (ignored) =>
      ignored.code === code && (ignored.object ?? `${namespace}/${name}`) === `${namespace}/${name}`,
  );
}

function summary(items: readonly PolicyFindingItem[], left: number): string {
  const counts = (['error', 'warning', 'info'] as const).flatMap((severity) => {
    const count = items.filter((item) => item.severity === severity).length;
    return count === 0 ? [] : [plural(count, severity === 'info' ? 'note' : severity)];
  });
  return `${counts.join(', ')}${left === 0 ? '' : `; ${left} left out by --ignore or -n`}`;
}

const styles = { error: 'red', warning: 'yellow', info: 'dim' } as const;

const columns: readonly Column<PolicyFindingItem>[] = [
  { header: 'SEVERITY', cell: ({ severity }): Cell => ({ text: severity, style: styles[severity] }) },
  { header: 'CODE', cell: ({ code }) => code },
  { header: 'OBJECT', cell: objectCell },
  { header: 'WHERE', cell: placeCell, shrink: true },
  { header: 'FINDING', cell: ({ message }) => message, shrink: true },
  { header: 'NEXT', cell: ({ hint }) => hint ?? '', shrink: true },
];

function objectCell({ kind, namespace, name }: PolicyFindingItem): string {
  if (kind === null) return '';
  return `${kind.toLowerCase()}/${namespace === '' ? '' : `${namespace}/`}${name}`;
}

/** Where it is written, or else which field. */
function placeCell({ file, line, column, field }: PolicyFindingItem): string {
  return file === null ? field : `${file}:${line}:${column}`;
}
