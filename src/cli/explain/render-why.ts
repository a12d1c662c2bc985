/** What became of a connection, told by both of its ends, and what would become of it now. Pure. */
import type { ConnectionRow } from '../connection-columns.ts';
import { formatAge, formatBytes, formatDuration } from '../format.ts';
import { printable } from '../printable.ts';
import type { Explained } from './explainer.ts';
import { type Recorded, told } from './recorded.ts';
import { renderExplanation, type RenderOptions } from './render.ts';

/** Undefined: it cannot be told, for this reason. */
export type Now = { readonly explained: Explained } | { readonly reason: string };

export function renderWhy(recorded: Recorded, now: Now, options: RenderOptions): readonly string[] {
  const row = told(recorded);
  const { paint } = options;
  const comparison = compare(row, now);
  return [
    `${paint(row.outcome === 'denied' || row.outcome === 'failed' ? 'red' : 'green', (row.outcome ?? 'open').toUpperCase())}  ${printable(headline(row))}  ${paint('dim', ago(row, options.now))}`,
    ...[recorded.outbound, recorded.inbound].flatMap((side) => (side === undefined ? [] : sideLines(side))),
    paint('bold', printable(`now: ${comparison.sentence}`)),
    ...('explained' in now ? renderExplanation(now.explained, options) : []),
  ];
}

const headline = ({ source, destination, service, originalDestination, traceId }: ConnectionRow): string => {
  const port = originalDestination.slice(originalDestination.lastIndexOf(':'));
  const to = service === null ? (destination.workload ?? destination.address) : `${service}${port}`;
  const trace = traceId === null ? '' : `, trace ${traceId}`;
  return `${source.workload ?? source.address} -> ${to}${trace}`;
};

function ago({ openedAt, durationMs }: ConnectionRow, now: number): string {
  const took = durationMs === null ? 'open for' : 'ended';
  const since = now - Date.parse(openedAt) - (durationMs ?? 0);
  return durationMs === null ? `${took} ${formatAge(since)}` : `${took} ${formatAge(since)} ago`;
}

const label = (text: string): string => text.padEnd(12);

function sideLines(side: ConnectionRow): readonly string[] {
  const { node, id, direction, source, destination, originalDestination, path, verdict, error } = side;
  const end = direction === 'outbound' ? 'source' : 'destination';
  const took = side.durationMs === null ? '' : `, ${formatDuration(side.durationMs)}`;
  const bytes = `${formatBytes(side.bytesSent)} sent, ${formatBytes(side.bytesReceived)} received`;
  const from = `${source.workload ?? 'no pod'} ${source.address}, ${source.identity ?? 'no identity'}`;
  const dialled = direction === 'outbound' ? `dialled ${originalDestination}, ` : '';
  const to = `${dialled}${destination.workload ?? 'no pod'} ${destination.address}, ${destination.identity ?? 'no identity'}`;
  const lines = [
    `${label(end)}  ${side.openedAt} ${node}/${id}: ${pathWords[path]}, ${bytes}${took}`,
    `${label('')}  from ${from}`,
    `${label('')}  to ${to}`,
    ...(verdict === null ? [] : [`${label('')}  ${verdictWords(verdict)}`]),
    ...(error === null ? [] : [`${label('')}  ${error.code} at ${error.hop}: ${error.message}`]),
    ...(error === null || error.hint === null ? [] : [`${label('')}  next: ${error.hint}`]),
  ];
  return lines.map(printable);
}

const pathWords = {
  tunnel: 'mTLS tunnel',
  kernel: 'in the kernel, within the node',
  local: 'within the node',
  direct: 'plaintext',
} as const;

const verdictWords = ({ allowed, policy, reason }: NonNullable<ConnectionRow['verdict']>): string =>
  `${allowed ? 'allowed' : 'denied'}${policy === null ? '' : ` by ${policy}`}: ${reason}`;

export interface Comparison {
  /** Another outcome, or another policy that decides. */
  readonly changed: boolean;
  readonly sentence: string;
}

/** What was recorded beside what would be. */
export function compare(row: ConnectionRow, now: Now): Comparison {
  if ('reason' in now) return { changed: false, sentence: `cannot be told: ${now.reason}` };
  const { outcome, verdict } = now.explained;
  const was = row.outcome === 'denied' ? 'denied' : row.outcome === 'failed' ? 'failed' : 'allowed';
  const would = outcome === 'depends' ? 'it would depend on the endpoint' : `it would be ${outcome}`;
  const samePolicy = (row.verdict?.policy ?? null) === (verdict?.policy ?? null) || row.verdict === null;
  if (was === outcome && (samePolicy || verdict === null)) {
    return { changed: false, sentence: `${would} again, for the same reason` };
  }
  const why = verdict === null ? '' : `: ${verdict.error?.message ?? verdict.reason}`;
  // Why it failed is not for policies to say.
  if (was === 'failed' && outcome === 'allowed') {
    return { changed: false, sentence: 'policies would allow it; what failed was something else' };
  }
  return was === outcome
    ? { changed: true, sentence: `${would} again, but for another reason${why}` }
    : { changed: true, sentence: `something has changed since, ${would}${why}` };
}
