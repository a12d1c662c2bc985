/** The result as text for a terminal and for docs/performance.md. Pure. */
import type { Facts } from './facts.ts';
import type { MetricResult, RowResult } from './results.ts';
import type { Verdict } from './targets.ts';
import type { VariantId } from './variants/variant.ts';

export interface Report {
  readonly facts: Facts;
  /** How it was measured, in a sentence. */
  readonly method: string;
  readonly rounds: number;
  readonly secondsEach?: number;
  readonly variants: readonly VariantId[];
  readonly rows: readonly RowResult[];
  readonly targets: readonly Verdict[];
  /** What could not be measured, one sentence each. */
  readonly problems: readonly string[];
}

export const variantTitles: Readonly<Record<VariantId, string>> = {
  none: 'no mesh',
  mesh: 'mesh-ebpf',
  haproxy: 'HAProxy',
  ztunnel: 'ztunnel',
};

export function renderReport(report: Report): string {
  const { facts, method, rows, targets, problems } = report;
  return [
    ...Object.entries(facts).map(([name, value]) => `${`${name}:`.padEnd(10)}${value}`),
    `method:   ${method}`,
    '',
    ...renderTable(resultTable(report)),
    ...(targets.length === 0 ? [] : ['', 'targets', ...targets.map(renderTarget)]),
    ...(problems.length === 0 ? [] : ['', 'not measured', ...problems.map((problem) => `  ${problem}`)]),
    ...(rows.length === 0 ? ['nothing was measured'] : []),
    '',
  ].join('\n');
}

export type Line = readonly string[];

function resultTable({ variants, rows }: Report): readonly Line[] {
  const ratios = (['haproxy', 'ztunnel', 'none'] as const).filter((id) => variants.includes(id));
  const head = [
    'figure',
    'unit',
    ...variants.map((id) => variantTitles[id]),
    ...(variants.includes('mesh') ? ratios.map((id) => `/ ${variantTitles[id]}`) : []),
  ];
  const lines = rows.flatMap(({ title, metrics }) =>
    metrics.map((metric, i) => [
      i === 0 ? title : '',
      metric.unit,
      ...variants.map((id) => number(metric.values[id]?.median, metric.digits)),
      ...(variants.includes('mesh') ? ratios.map((id) => ratio(metric, id)) : []),
    ]),
  );
  return [head, ...lines];
}

/** mesh-ebpf's value over another variant's. */
function ratio({ values }: MetricResult, other: VariantId): string {
  const [mine, theirs] = [values.mesh?.median, values[other]?.median];
  return mine === undefined || theirs === undefined || theirs === 0 ? '-' : `${(mine / theirs).toFixed(2)}x`;
}

const number = (value: number | undefined, digits: number): string =>
  value === undefined ? '-' : value.toFixed(digits);

export const renderTarget = ({ title, limit, shown, met }: Verdict): string =>
  `  ${met ? '✔' : '✘'} ${title.padEnd(40)} ${shown.padStart(9)}   ${limit}${met ? '' : ' (missed)'}`;

/** Text to the left in the first two columns, numbers to the right in the others; a rule below the head. */
export function renderTable(lines: readonly Line[]): readonly string[] {
  const widths = (lines[0] ?? []).map((_, column) =>
    Math.max(...lines.map((line) => (line[column] ?? '').length)),
  );
  const rendered = lines.map((line) =>
    line
      .map((cell, column) =>
        column < 2 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
      )
      .join('  ')
      .trimEnd(),
  );
  const rule = widths.map((width) => '-'.repeat(width)).join('  ');
  return [rendered[0] ?? '', rule, ...rendered.slice(1)];
}
