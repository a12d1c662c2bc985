/** `policies`: the authorization policies in force, in words, and the pods they apply to. */
import type { Command } from 'commander';
import type { PolicyItem, PolicyList } from '../../telemetry/admin-api.ts';
import {
  type CommandContext,
  examples,
  type ReadOptions,
  withNamespace,
  withNodes,
  withOutput,
} from '../command.ts';
import { exitCodesHelp } from '../exit-codes.ts';
import { mergeBy, printNodeListing } from '../listing.ts';
import { askNodes } from '../nodes.ts';
import type { Column } from '../table.ts';

interface Options extends ReadOptions {
  readonly namespace?: string;
}

export function addPoliciesCommand(program: Command, context: CommandContext): void {
  const command = program
    .command('policies')
    .description('list the authorization policies in force and the pods they apply to')
    .addHelpText('after', examples('policies', 'policies -n shop -o wide'))
    .addHelpText('after', exitCodesHelp);
  withNamespace(withOutput(withNodes(command))).action(
    context.action(async (options: Options) => {
      const { documents, unreachable } = await askNodes<PolicyList>(context.env, options, {
        target: '/v1/policies',
        kind: 'PolicyList',
      });
      const rows = mergePolicies(documents.flatMap(({ items }) => items)).filter(
        ({ namespace }) => options.namespace === undefined || namespace === options.namespace,
      );
      return printNodeListing(context.screen(), options.output, {
        kind: 'PolicyList',
        rows,
        columns,
        name: ({ key }) => `policy/${key}`,
        unreachable,
        empty: `no policy${options.namespace === undefined ? '' : ` in namespace "${options.namespace}"`}: where none applies, every connection is allowed`,
      });
    }),
  );
}

/** Each node names its own pods only. */
function mergePolicies(items: readonly PolicyItem[]): readonly PolicyItem[] {
  const pods = Map.groupBy(items, ({ key }) => key);
  return mergeBy(
    items,
    ({ key }) => key,
    () => false,
  ).map((item) => ({ ...item, workloads: (pods.get(item.key) ?? []).flatMap(({ workloads }) => workloads) }));
}

const columns: readonly Column<PolicyItem>[] = [
  { header: 'POLICY', cell: ({ key }) => key },
  { header: 'ACTION', cell: ({ action }) => ({ text: action, style: action === 'deny' ? 'red' : 'green' }) },
  { header: 'APPLIES TO', cell: ({ scope }) => scope, shrink: true },
  { header: 'PODS', cell: ({ workloads }) => String(workloads.length), align: 'right' },
  {
    header: 'RULES',
    cell: ({ rules }) => (rules.length === 0 ? 'none: matches nothing' : rules.join('; or ')),
    shrink: true,
  },
  { header: 'POD NAMES', cell: ({ workloads }) => workloads.join(','), wide: true },
];
