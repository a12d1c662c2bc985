/** `services`: what names and virtual addresses lead to, and which endpoints can take a connection. */
import type { ServiceItem, ServiceList } from '../../telemetry/admin-api.ts';
import { itemsOf, listCommand } from '../list-command.ts';
import { mergeBy } from '../listing.ts';
import type { Cell, Column } from '../table.ts';

export const addServicesCommand = listCommand<ServiceList, ServiceItem>({
  command: 'services',
  description: 'list the Services, their addresses and how many endpoints can take connections',
  examples: ['services', 'services -n shop -o wide'],
  target: '/v1/services',
  kind: 'ServiceList',
  rows: (answers) =>
    mergeBy(
      itemsOf(answers),
      ({ namespace, name }) => `${namespace}/${name}`,
      () => false,
    ),
  namespace: ({ namespace }) => namespace,
  columns: () => columns,
  name: ({ namespace, name }) => `service/${namespace}/${name}`,
  finding: (item) => ready(item) === 0,
  empty: (namespace, known) =>
    `no Service${namespace === undefined ? '' : ` in namespace "${namespace}"`}; the mesh knows ${known}`,
});

const ready = (item: ServiceItem): number => item.endpoints.filter((endpoint) => endpoint.ready).length;

const columns: readonly Column<ServiceItem>[] = [
  { header: 'SERVICE', cell: ({ namespace, name }) => `${namespace}/${name}`, shrink: true },
  { header: 'ADDRESSES', cell: ({ vips }) => (vips.length === 0 ? 'headless' : vips.join(',')) },
  {
    header: 'PORTS',
    cell: ({ ports }) => ports.map(({ port, protocol }) => `${port}/${protocol}`).join(','),
  },
  { header: 'READY', cell: readiness },
  { header: 'HOSTNAME', cell: ({ hostname }) => hostname, wide: true },
  {
    header: 'ENDPOINTS',
    cell: ({ endpoints }) => endpoints.map(({ address, workload }) => workload ?? address).join(','),
    wide: true,
  },
];

function readiness(item: ServiceItem): Cell {
  const count = ready(item);
  const text = `${count}/${item.endpoints.length}`;
  return count === 0 ? { text: `${text} connections are refused`, style: 'red' } : text;
}
