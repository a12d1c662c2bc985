/** `services`: what names and virtual addresses lead to, and which endpoints can take a connection. */
import type { Command } from 'commander';
import type { ServiceItem, ServiceList } from '../../telemetry/admin-api.ts';
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
import type { Cell, Column } from '../table.ts';

interface Options extends ReadOptions {
  readonly namespace?: string;
}

export function addServicesCommand(program: Command, context: CommandContext): void {
  const command = program
    .command('services')
    .description('list the Services, their addresses and how many endpoints can take connections')
    .addHelpText('after', examples('services', 'services -n shop -o wide'))
    .addHelpText('after', exitCodesHelp);
  withNamespace(withOutput(withNodes(command))).action(
    context.action(async (options: Options) => {
      const { documents, unreachable } = await askNodes<ServiceList>(context.env, options, {
        target: '/v1/services',
        kind: 'ServiceList',
      });
      const all = mergeBy(
        documents.flatMap(({ items }) => items),
        (item) => `${item.namespace}/${item.name}`,
        () => false,
      );
      const rows = all.filter(
        ({ namespace }) => options.namespace === undefined || namespace === options.namespace,
      );
      return printNodeListing(context.screen(), options.output, {
        kind: 'ServiceList',
        rows,
        columns,
        name: (item) => `service/${item.namespace}/${item.name}`,
        unreachable,
        finding: (item) => ready(item) === 0,
        empty: `no Service${options.namespace === undefined ? '' : ` in namespace "${options.namespace}"`}; the mesh knows ${all.length}`,
      });
    }),
  );
}

const ready = (item: ServiceItem): number =>
  item.endpoints.filter((endpoint) => endpoint.ready && !endpoint.terminating).length;

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
