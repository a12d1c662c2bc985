/** What is measured, at each size of the cluster, and what it is to be. Pure. */
import { type Facts } from '../bench/facts.ts';
import { type Line, renderTable, renderTarget } from '../bench/report.ts';
import type { Verdict } from '../bench/targets.ts';

export interface Figure {
  readonly title: string;
  readonly unit: string;
  readonly digits: number;
  /** At the largest size; undefined: for information. */
  readonly atMost?: number;
}

export const figures = {
  readyFromApi: { title: 'ready, all read from the API', unit: 's', digits: 2, atMost: 10 },
  cpuFromApi: { title: 'the same, CPU', unit: 's', digits: 2 },
  readyFromSnapshot: { title: 'ready from its snapshot, no API', unit: 's', digits: 2, atMost: 2 },
  cpuFromSnapshot: { title: 'the same, CPU', unit: 's', digits: 2 },
  resident: { title: 'memory at rest (RSS)', unit: 'MB', digits: 0, atMost: 250 },
  peak: { title: 'most memory it ever had (RSS)', unit: 'MB', digits: 0, atMost: 250 },
  mapP50: { title: 'pod change until in the BPF map, p50', unit: 'ms', digits: 1 },
  mapP99: { title: 'the same, p99', unit: 'ms', digits: 1 },
  seenP50: { title: 'pod change until in map and ztunnel, p50', unit: 'ms', digits: 1, atMost: 50 },
  seenP99: { title: 'pod change until in map and ztunnel, p99', unit: 'ms', digits: 1, atMost: 200 },
  writeP50: { title: 'of that, until the API server said yes, p50', unit: 'ms', digits: 1 },
  changeCpu: { title: 'CPU of the node program per change', unit: 'ms', digits: 2 },
  enrolled: { title: 'label until 7 running pods enrolled', unit: 'ms', digits: 0, atMost: 100 },
  left: { title: 'label gone until all 7 are out', unit: 'ms', digits: 0, atMost: 200 },
  idleCpu: { title: 'CPU while nothing changes', unit: '% of core', digits: 2, atMost: 1 },
  snapshotSize: { title: 'snapshot on disk', unit: 'MB', digits: 1 },
} as const satisfies Readonly<Record<string, Figure>>;

export type FigureId = keyof typeof figures;
export const figureIds = Object.keys(figures) as readonly FigureId[];

export type Values = Readonly<Partial<Record<FigureId, number>>>;

export interface Report {
  readonly facts: Facts;
  readonly method: string;
  /** By the number of pods, ascending. */
  readonly sizes: readonly { readonly pods: number; readonly values: Values }[];
  readonly targets: readonly Verdict[];
  /** What could not be measured, one sentence each. */
  readonly problems: readonly string[];
}

/** Of the largest size. A target whose figure was not measured is missed. */
export const judge = (sizes: Report['sizes']): readonly Verdict[] =>
  figureIds.flatMap((id) => {
    const { title, unit, digits, atMost }: Figure = figures[id];
    if (atMost === undefined) return [];
    const value = sizes.at(-1)?.values[id];
    const shown = value === undefined ? 'not measured' : `${value.toFixed(digits)} ${unit}`;
    return [
      { title, shown, limit: `at most ${atMost} ${unit}`, met: value !== undefined && value <= atMost },
    ];
  });

export function renderReport({ facts, method, sizes, targets, problems }: Report): string {
  return [
    ...Object.entries({ ...facts, method }).map(([name, value]) => `${`${name}:`.padEnd(10)}${value}`),
    '',
    ...renderTable([head(sizes), ...figureIds.map((id) => line(id, sizes))]),
    '',
    `targets, at ${sizes.at(-1)?.pods ?? 0} pods`,
    ...targets.map(renderTarget),
    ...(problems.length === 0 ? [] : ['', 'not measured', ...problems.map((problem) => `  ${problem}`)]),
    '',
  ].join('\n');
}

const head = (sizes: Report['sizes']): Line => [
  'figure',
  'unit',
  ...sizes.map(({ pods }) => `${pods} pods`),
  ...(sizes.length > 1 ? ['growth'] : []),
];

function line(id: FigureId, sizes: Report['sizes']): Line {
  const { title, unit, digits }: Figure = figures[id];
  const values = sizes.map((size) => size.values[id]);
  const [first, last] = [values[0], values.at(-1)];
  const growth =
    first === undefined || last === undefined || first === 0 ? '-' : `${(last / first).toFixed(1)}x`;
  return [
    title,
    unit,
    ...values.map((value) => value?.toFixed(digits) ?? '-'),
    ...(sizes.length > 1 ? [growth] : []),
  ];
}
