/** The result as text for a terminal and for docs/performance.md. Pure. */
import type { Facts } from './facts.ts';
import type { MetricResult, RowResult } from './results.ts';
import type { Verdict } from './targets.ts';
import { acrossNodes, type VariantId, withinNode } from './variants/variant.ts';

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
  'node-none': 'no mesh',
  'node-kernel': 'kernel path',
  'node-accelerated': 'accelerated',
  'node-hbone': 'HBONE',
  'node-large': 'kernel, large mesh',
};

/** Variants that are set against each other: the project's, and what its values are divided by. */
interface Section {
  readonly scope: RowResult['scope'];
  readonly title: string | undefined;
  readonly subject: VariantId;
  readonly variants: readonly VariantId[];
  readonly against: readonly VariantId[];
}

const sections: readonly Section[] = [
  {
    scope: undefined,
    title: undefined,
    subject: 'mesh',
    variants: acrossNodes,
    against: ['haproxy', 'ztunnel', 'none'],
  },
  {
    scope: 'node',
    title: 'within a node',
    subject: 'node-kernel',
    variants: withinNode,
    against: ['node-hbone', 'node-none'],
  },
];

export function renderReport(report: Report): string {
  const { facts, method, rows, targets, problems } = report;
  return [
    ...Object.entries(facts).map(([name, value]) => `${`${name}:`.padEnd(10)}${value}`),
    `method:   ${method}`,
    ...sections.flatMap((section) => sectionLines(report, section)),
    ...(targets.length === 0 ? [] : ['', 'targets', ...targets.map(renderTarget)]),
    ...(problems.length === 0 ? [] : ['', 'not measured', ...problems.map((problem) => `  ${problem}`)]),
    ...(rows.length === 0 ? ['nothing was measured'] : []),
    '',
  ].join('\n');
}

export type Line = readonly string[];

function sectionLines(report: Report, section: Section): readonly string[] {
  const rows = report.rows.filter(({ scope }) => scope === section.scope);
  const variants = report.variants.filter((id) => section.variants.includes(id));
  if (rows.length === 0 || variants.length === 0) return [];
  const { title } = section;
  return ['', ...(title === undefined ? [] : [title]), ...renderTable(resultTable(rows, variants, section))];
}

function resultTable(
  rows: readonly RowResult[],
  variants: readonly VariantId[],
  { subject, against }: Section,
): readonly Line[] {
  const ratios = variants.includes(subject) ? against.filter((id) => variants.includes(id)) : [];
  const head = [
    'figure',
    'unit',
    ...variants.map((id) => variantTitles[id]),
    ...ratios.map((id) => `/ ${variantTitles[id]}`),
  ];
  const lines = rows.flatMap(({ title, metrics }) =>
    metrics.map((metric, i) => [
      i === 0 ? title : '',
      metric.unit,
      ...variants.map((id) => number(metric.values[id]?.median, metric.digits)),
      ...ratios.map((id) => ratio(metric, subject, id)),
    ]),
  );
  return [head, ...lines];
}

/** The project's value over another variant's. */
function ratio({ values }: MetricResult, subject: VariantId, other: VariantId): string {
  const [mine, theirs] = [values[subject]?.median, values[other]?.median];
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
