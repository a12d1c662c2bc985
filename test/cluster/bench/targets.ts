/** What the scenarios are to reach. Pure. */
import { type RowResult, valueOf } from '../../bench/results.ts';
import { comparison, type Target } from '../../bench/targets.ts';

interface Limit {
  readonly row: string;
  readonly metric: string;
  readonly title: string;
  readonly most: number;
  readonly unit: string;
  readonly digits?: number;
}

const atMost = ({ row, metric, title, most, unit, digits = 0 }: Limit): Target => ({
  title,
  limit: most === 0 ? 'none' : `at most ${most} ${unit}`,
  judge(results: readonly RowResult[]) {
    const value = valueOf(results, row, metric, 'mesh');
    if (value === undefined) return undefined;
    return { shown: `${value.toFixed(digits)} ${unit}`.trim(), met: value <= most };
  },
});

/** A few per cent are what two runs of the same thing differ by. */
const asNoMesh = (row: string, metric: string, title: string, most: number): Target =>
  comparison([row, metric], 'none', {
    title,
    limit: `at most ${most.toFixed(2)}x no mesh`,
    shown: (mesh, none) => `${(mesh / none).toFixed(2)}x`,
    met: (mesh, none) => mesh <= most * none,
  });

const allAgain: Target = {
  title: 'reboot: labelled pods enrolled again',
  limit: 'all',
  judge(results) {
    const enrolled = valueOf(results, 'reboot', 'enrolled', 'mesh');
    const of = valueOf(results, 'reboot', 'of', 'mesh');
    if (enrolled === undefined || of === undefined) return undefined;
    return { shown: `${enrolled} of ${of}`, met: enrolled === of };
  },
};

const failed = (row: string, title: string, most: number): Target =>
  atMost({ row, metric: 'failed', title, most, unit: 'failed' });
const time = (row: string, metric: string, title: string, most: number): Target =>
  atMost({ row, metric, title, most, unit: 'ms' });
const size = (metric: string, title: string): Target =>
  atMost({ row: 'memory', metric, title, most: 100, unit: 'MB' });

export const clusterTargets: readonly Target[] = [
  asNoMesh('kept-near', 'p50', 'kept connections, same node: p50', 1.1),
  comparison(['fast-near', 'rate'], 'none', {
    title: 'as fast as possible, same node',
    limit: 'at least 0.94x no mesh',
    shown: (mesh, none) => `${(mesh / none).toFixed(2)}x`,
    met: (mesh, none) => mesh >= 0.94 * none,
  }),
  atMost({
    row: 'fresh-far',
    metric: 'p50',
    title: 'a connection per request, other node: p50',
    most: 3.5,
    unit: 'ms',
    digits: 2,
  }),
  failed('pre-stop', 'rolling restart with preStop', 0),
  failed('abrupt', 'abrupt rolling restart', 0),
  failed('upgrade', 'upgrade of the node programs', 0),
  atMost({ row: 'upgrade', metric: 'cut', title: 'upgrade: kept connections cut', most: 0, unit: 'cut' }),
  failed('kills', 'three kills of a node program', 30),
  time('policy', 'denyP50', 'deny-all policy in force: p50', 30),
  time('policy', 'denyMost', 'deny-all policy in force: most', 100),
  time('label', 'inP50', 'label → all enrolled', 100),
  time('label', 'outP50', 'label removed → all out', 200),
  size('node', 'memory of a node'),
  size('controller', 'memory of the controller'),
  allAgain,
  atMost({
    row: 'reboot',
    metric: 'unmeshed',
    title: 'reboot: ready before they were enrolled',
    most: 0,
    unit: 'pods',
  }),
];
