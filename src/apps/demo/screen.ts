/** What the demo looks like: pure text for a terminal a person reads. */
import { identityParts, parseSpiffeId } from '../../model/identity.ts';
import type { Paint } from '../../cli/screen.ts';
import type { BulkResult } from '../../lab/app/bulk.ts';
import type { StatusPod } from '../../lab/commands/status.ts';
import type { WorkloadItem } from '../../telemetry/admin-api.ts';
import type { Column } from '../../cli/table.ts';
import type { OnTheLink } from './acts.ts';
import type { Outcome } from './perform.ts';

export interface PodRow {
  readonly pod: StatusPod;
  readonly workload: WorkloadItem | undefined;
}

export const podColumns: readonly Column<PodRow>[] = [
  { header: 'NODE', cell: ({ pod }) => pod.node },
  { header: 'POD', cell: ({ pod }) => `${pod.namespace}/${pod.name}` },
  { header: 'ADDRESSES', cell: ({ pod }) => pod.ips.join('  ') },
  {
    header: 'IDENTITY',
    cell: ({ pod, workload }) =>
      pod.inMesh === 'yes' && workload !== undefined
        ? { text: workload.identity, style: 'green' }
        : { text: 'none: not in the mesh', style: 'dim' },
  },
];

const widths = { who: 31, how: 28, path: 13, identity: 20, link: 15 } as const;

export const header = (paint: Paint): string =>
  paint(
    'bold',
    [
      'WHO → WHOM'.padEnd(widths.who),
      'HOW'.padEnd(widths.how),
      'PATH'.padEnd(widths.path),
      'SERVER SAW'.padEnd(widths.identity),
      'ON THE LINK'.padEnd(widths.link),
      'FIRST / WARM',
    ].join(' '),
  );

export function outcomeLine(outcome: Outcome, paint: Paint): string {
  const { act, path, identity, link, firstMs, warmMs, wrong } = outcome;
  const line = [
    `${act.from} → ${act.to}`.padEnd(widths.who),
    act.how.padEnd(widths.how),
    path.padEnd(widths.path),
    shortIdentity(identity).padEnd(widths.identity),
    paintLink(link, paint),
    `${firstMs.toFixed(1)} / ${warmMs.toFixed(1)} ms`,
  ].join(' ');
  return withVerdict(line, wrong, paint);
}

/** What was seen, and beneath it what is wrong with it, if anything is. */
export const withVerdict = (seen: string, wrong: string | undefined, paint: Paint): string =>
  wrong === undefined ? seen : `${seen}\n  ${paint('red', `NOT AS EXPECTED: ${wrong}`)}`;

function shortIdentity(identity: string | undefined): string {
  if (identity === undefined) return '-';
  const { namespace, serviceAccount } = identityParts(parseSpiffeId(identity));
  return `ns/${namespace}/sa/${serviceAccount}`;
}

function paintLink(link: OnTheLink, paint: Paint): string {
  const padded = link.padEnd(widths.link);
  switch (link) {
    case 'encrypted':
      return paint('green', padded);
    case 'READABLE':
      return paint('yellow', padded);
    case 'never crosses':
      return paint('dim', padded);
  }
}

export function transferLine(result: BulkResult, paint: Paint): string {
  const what = `${result.megabytes} MB there and back at once`;
  if (!result.ok) return paint('red', `${what}: FAILED: ${result.error ?? 'the hashes differ'}`);
  const rate = (result.megabitsPerSecond / 1000).toFixed(2);
  return `${what}: SHA-256 equal on both sides, ${result.seconds.toFixed(1)} s, ${rate} Gbit/s in all`;
}
