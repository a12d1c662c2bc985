/** How a connection reads in a table. */
import type { ConnectionPath } from '../model/connection.ts';
import type { ConnectionEnd, ConnectionItem } from '../telemetry/admin-api.ts';
import { formatAge, formatBytes, formatDuration } from './format.ts';
import type { Cell, Column } from './table.ts';

export type ConnectionRow = ConnectionItem & {
  /** The node that told of it; of a joined row the source's. */
  readonly node: string;
  /** Set on rows joined from both sides (`join-sides.ts`). */
  readonly seenBy?: 'both';
};

/** `AGO`: ages relative to `now`. `TIME`: the time of day, for a stream that stays on the screen. */
export function connectionColumns(
  now: number,
  when: 'AGO' | 'TIME',
  options: { readonly dryRun?: boolean | undefined } = {},
): readonly Column<ConnectionRow>[] {
  return [
    { header: when, cell: (row) => ended(row, now, when) },
    { header: 'FROM', cell: ({ source }) => endName(source), shrink: true },
    { header: 'TO', cell: target, shrink: true },
    { header: 'PATH', cell: path },
    { header: 'SEEN BY', cell: seenBy },
    { header: 'SENT', cell: ({ bytesSent }) => formatBytes(bytesSent), align: 'right' },
    { header: 'RECEIVED', cell: ({ bytesReceived }) => formatBytes(bytesReceived), align: 'right' },
    {
      header: 'TOOK',
      cell: ({ durationMs }) => (durationMs === null ? '' : formatDuration(durationMs)),
      align: 'right',
    },
    { header: 'RESULT', cell: result },
    { header: 'NODE', cell: ({ node }) => node, wide: true },
    { header: 'ID', cell: ({ id }) => id, wide: true },
    { header: 'SOURCE IDENTITY', cell: ({ source }) => source.identity ?? '', wide: true },
    { header: 'DESTINATION IDENTITY', cell: ({ destination }) => destination.identity ?? '', wide: true },
    { header: 'DIALLED', cell: ({ originalDestination }) => originalDestination, wide: true },
    { header: 'DRY RUN', cell: dryRun, shrink: true, ...(options.dryRun === true ? {} : { wide: true }) },
    { header: 'POLICY', cell: ({ verdict }) => verdict?.policy ?? '', wide: true },
    { header: 'TRACE', cell: ({ traceId }) => traceId ?? '', wide: true },
  ];
}

function ended({ openedAt, durationMs }: ConnectionItem, now: number, when: 'AGO' | 'TIME'): Cell {
  if (durationMs === null) return { text: 'live', style: 'green' };
  const end = Date.parse(openedAt) + durationMs;
  return when === 'AGO' ? formatAge(now - end) : new Date(end).toISOString().slice(11, 23);
}

const seenBy = ({ seenBy: both, direction }: ConnectionRow): string =>
  both ?? (direction === 'outbound' ? 'source' : 'destination');

const endName = ({ workload, address }: ConnectionEnd): string => workload ?? address;

/** What was asked for, and the pod that got it: `shop/web:80 (web-5d4b)`. */
function target(item: ConnectionItem): string {
  const { service, destination, originalDestination, transport } = item;
  const suffix = transport === 'udp' ? '/udp' : '';
  const port = `${originalDestination.slice(originalDestination.lastIndexOf(':'))}${suffix}`;
  if (service === null) return `${endName(destination)}${destination.workload === null ? suffix : port}`;
  const pod = destination.workload?.split('/')[1];
  return `${service}${port}${pod === undefined ? '' : ` (${pod})`}`;
}

const pathCells: Readonly<Record<ConnectionPath, Cell>> = {
  tunnel: { text: 'mTLS tunnel', style: 'green' },
  kernel: { text: 'kernel', style: 'green' },
  local: { text: 'same node', style: 'green' },
  direct: { text: 'plaintext', style: 'yellow' },
};

function path({ path: taken, transport, accelerated }: ConnectionItem): Cell {
  if (transport === 'udp') return 'UDP';
  if (accelerated === true) return { text: 'kernel, accelerated', style: 'green' };
  return pathCells[taken];
}

/** What policies in dry run would have done, where that differs. */
function dryRun({ verdict }: ConnectionItem): Cell {
  const rehearsed = verdict?.dryRun ?? null;
  if (rehearsed === null) return '';
  const by = `${rehearsed.policy ?? 'default'}: ${rehearsed.reason}`;
  return rehearsed.allowed
    ? { text: `would be allowed by ${by}`, style: 'green' }
    : { text: `WOULD BE DENIED by ${by}`, style: 'yellow' };
}

function result({ outcome, error, verdict, connections }: ConnectionItem): Cell {
  switch (outcome) {
    case null:
      return { text: 'open', style: 'green' };
    case 'completed':
      return connections === 1 ? 'ok' : `ok, ${connections} connections`;
    case 'ended':
      return { text: error?.code ?? 'ended', style: 'dim' };
    case 'denied':
      return {
        text: `DENIED by ${verdict?.policy ?? 'default'}: ${verdict?.reason ?? error?.message ?? ''}`,
        style: 'red',
      };
    case 'failed':
      return {
        text: `FAILED at ${error?.hop ?? '?'}: ${error?.message ?? ''} [${error?.code ?? ''}]`,
        style: 'red',
      };
  }
}
