/** `workloads`: every pod the mesh knows, whether it is really captured, and as whom it speaks. */
import type { WorkloadItem, WorkloadList } from '../../telemetry/admin-api.ts';
import { formatUntil } from '../format.ts';
import { itemsOf, listCommand } from '../list-command.ts';
import { mergeBy } from '../listing.ts';
import type { Cell, Column } from '../table.ts';

export const addWorkloadsCommand = listCommand<WorkloadList, WorkloadItem>({
  command: 'workloads',
  description: 'list the pods the mesh knows, whether they are captured, and their certificates',
  examples: ['workloads -n shop', 'workloads -o wide', 'workloads --node node-a -o json'],
  target: '/v1/workloads',
  kind: 'WorkloadList',
  rows: (answers) =>
    mergeBy(
      itemsOf(answers),
      ({ namespace, name, uid }) => `${namespace}/${name}/${uid}`,
      ({ enrolment }) => enrolment !== 'remote',
    ),
  namespace: ({ namespace }) => namespace,
  columns,
  name: ({ namespace, name }) => `workload/${namespace}/${name}`,
  finding: ({ enrolment }) => enrolment === 'no',
  empty: whyEmpty,
});

function columns(now: number): readonly Column<WorkloadItem>[] {
  return [
    { header: 'WORKLOAD', cell: ({ namespace, name }) => `${namespace}/${name}`, shrink: true },
    { header: 'NODE', cell: ({ node }) => node },
    { header: 'ENROLLED', cell: enrolled, shrink: true },
    { header: 'CERT', cell: (item) => certificate(item, now) },
    { header: 'POLICIES', cell: policies },
    { header: 'ADDRESSES', cell: ({ addresses }) => addresses.join(','), wide: true },
    { header: 'IDENTITY', cell: ({ identity }) => identity, wide: true },
    { header: 'UID', cell: ({ uid }) => uid, wide: true },
  ];
}

function enrolled({ enrolment, reason }: WorkloadItem): Cell {
  switch (enrolment) {
    case 'enrolled':
      return { text: 'yes', style: 'green' };
    case 'no':
      return { text: `NO: ${reason ?? 'reason unknown'}`, style: 'red' };
    case 'remote':
      return { text: 'see its node', style: 'dim' };
    case 'not-meshed':
      return { text: 'not labelled', style: 'dim' };
  }
}

function certificate({ certificate: held }: WorkloadItem, now: number): Cell {
  if (held === null) return '-';
  if (held.state === 'valid' && held.notAfter !== null) return formatUntil(held.notAfter, now);
  return {
    text: held.state.toUpperCase(),
    style: held.state === 'expiring' || held.state === 'pending' ? 'yellow' : 'red',
  };
}

/** Policies on a pod that is not captured are words: say so. */
function policies({ policies: keys, enrolment }: WorkloadItem): Cell {
  if (keys.length > 0 && enrolment === 'no') return { text: `${keys.length} NOT ENFORCED`, style: 'red' };
  return String(keys.length);
}

function whyEmpty(namespace: string | undefined, known: number): string {
  return known > 0 && namespace !== undefined
    ? `no workload in namespace "${namespace}"; ${known} in others`
    : 'the mesh knows no pod yet; label a namespace with istio.io/dataplane-mode=ambient and start pods in it';
}
