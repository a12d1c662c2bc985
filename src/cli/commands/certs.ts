/** `certs`: the certificate of every identity on each node, when it is renewed, and what went wrong last. */
import type { CertificateItem, CertificateList, CertificateState } from '../../telemetry/admin-api.ts';
import { formatUntil } from '../format.ts';
import { listCommand } from '../list-command.ts';
import type { Style } from '../screen.ts';
import type { Column } from '../table.ts';

type Row = CertificateItem & { readonly node: string };

export const addCertsCommand = listCommand<CertificateList, Row>({
  command: 'certs',
  description: 'list the certificates that nodes hold for their pods, by the clock of this machine',
  examples: ['certs', 'certs --node node-a -o wide', 'certs -o json'],
  target: '/v1/certs',
  kind: 'CertificateList',
  rows: (answers) => answers.flatMap(({ node, items }) => items.map((item) => ({ node, ...item }))),
  columns,
  name: ({ node, identity }) => `certificate/${node}/${identity}`,
  finding: ({ state }) => state !== 'valid' && state !== 'pending',
  empty: () => 'no certificates: no pod of these nodes is enrolled (see mesh-ebpf workloads)',
});

const styles: Readonly<Record<CertificateState, Style>> = {
  valid: 'green',
  expiring: 'yellow',
  pending: 'yellow',
  expired: 'red',
  failed: 'red',
};

function columns(now: number): readonly Column<Row>[] {
  return [
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
}

const renewal = (time: string, now: number): string => {
  const left = formatUntil(time, now);
  return left === 'expired' ? 'due' : `in ${left}`;
};
