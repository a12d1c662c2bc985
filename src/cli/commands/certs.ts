/** `certs`: the certificate of every identity on each node, when it is renewed, and what went wrong last. */
import type { Command } from 'commander';
import type { CertificateItem, CertificateList, CertificateState } from '../../telemetry/admin-api.ts';
import { type CommandContext, examples, type ReadOptions, withNodes, withOutput } from '../command.ts';
import { exitCodesHelp } from '../exit-codes.ts';
import { formatUntil } from '../format.ts';
import { printNodeListing } from '../listing.ts';
import { askNodes } from '../nodes.ts';
import type { Style } from '../screen.ts';
import type { Column } from '../table.ts';

type Row = CertificateItem & { readonly node: string };

export function addCertsCommand(program: Command, context: CommandContext): void {
  const command = program
    .command('certs')
    .description('list the certificates that nodes hold for their pods, by the clock of this machine')
    .addHelpText('after', examples('certs', 'certs --node node-a -o wide', 'certs -o json'))
    .addHelpText('after', exitCodesHelp);
  withOutput(withNodes(command)).action(
    context.action(async (options: ReadOptions) => {
      const { documents, unreachable } = await askNodes<CertificateList>(context.env, options, {
        target: '/v1/certs',
        kind: 'CertificateList',
      });
      const rows = documents.flatMap(({ node, items }) => items.map((item): Row => ({ node, ...item })));
      return printNodeListing(context.screen(), options.output, {
        kind: 'CertificateList',
        rows,
        columns: columns(context.env.clock.now()),
        name: ({ node, identity }) => `certificate/${node}/${identity}`,
        unreachable,
        finding: ({ state }) => state !== 'valid' && state !== 'pending',
        empty: 'no certificates: no pod of these nodes is enrolled (see mesh-ebpf workloads)',
      });
    }),
  );
}

const styles: Readonly<Record<CertificateState, Style>> = {
  valid: 'green',
  expiring: 'yellow',
  pending: 'yellow',
  expired: 'red',
  failed: 'red',
};

const columns = (now: number): readonly Column<Row>[] => [
  { header: 'IDENTITY', cell: ({ identity }) => identity, shrink: true },
  { header: 'NODE', cell: ({ node }) => node },
  { header: 'STATE', cell: ({ state }) => ({ text: state, style: styles[state] }) },
  { header: 'EXPIRES', cell: ({ notAfter }) => (notAfter === null ? '-' : formatUntil(notAfter, now)) },
  { header: 'RENEWAL', cell: ({ renewAt }) => (renewAt === null ? '-' : renewal(renewAt, now)) },
  { header: 'PODS', cell: ({ workloads }) => String(workloads.length), align: 'right' },
  {
    header: 'LAST ERROR',
    cell: ({ lastError }) => (lastError === null ? '-' : { text: lastError, style: 'red' }),
  },
  { header: 'SERIAL', cell: ({ serialNumber }) => serialNumber ?? '-', wide: true },
  { header: 'NOT AFTER', cell: ({ notAfter }) => notAfter ?? '-', wide: true },
  { header: 'USED BY', cell: ({ workloads }) => workloads.join(','), wide: true },
];

const renewal = (time: string, now: number): string => {
  const left = formatUntil(time, now);
  return left === 'expired' ? 'due' : `in ${left}`;
};
