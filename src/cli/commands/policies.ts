/** `policies`: the authorization policies in force, in words, and the pods they apply to. */
import type { PolicyItem, PolicyList } from '../../telemetry/admin-api.ts';
import { itemsOf, listCommand } from '../list-command.ts';
import { mergeBy } from '../listing.ts';
import type { Column } from '../table.ts';

export const addPoliciesCommand = listCommand<PolicyList, PolicyItem>({
  command: 'policies',
  description: 'list the authorization policies in force and the pods they apply to',
  examples: ['policies', 'policies -n shop -o wide'],
  target: '/v1/policies',
  kind: 'PolicyList',
  rows: (answers) => mergePolicies(itemsOf(answers)),
  namespace: ({ namespace }) => namespace,
  columns: () => columns,
  name: ({ key }) => `policy/${key}`,
  empty: (namespace) =>
    `no policy${namespace === undefined ? '' : ` in namespace "${namespace}"`}: where none applies, every connection is allowed`,
});

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
