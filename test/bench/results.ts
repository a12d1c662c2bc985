/** What was measured: samples by row, variant and metric, and what could not be. Pure. */
import type { Metric, Sample } from './rows/row.ts';
import { median, spread } from './stats.ts';
import type { VariantId } from './variants/variant.ts';

export interface Cell {
  readonly median: number;
  /** Half the distance between the extremes over the median; absent with one sample. */
  readonly spread?: number;
  readonly samples: readonly number[];
}

export interface MetricResult extends Metric {
  readonly values: Readonly<Partial<Record<VariantId, Cell>>>;
}

export interface RowResult {
  readonly id: string;
  readonly title: string;
  readonly scope?: RowHead['scope'];
  readonly metrics: readonly MetricResult[];
}

/** What a row of a table is about. */
export interface RowHead {
  readonly id: string;
  readonly title: string;
  /** Within a node; absent: across two. */
  readonly scope?: 'node';
  readonly metrics: readonly Metric[];
}

export interface Measurement {
  readonly row: RowHead;
  readonly variant: VariantId;
  readonly sample: Sample;
}

/** Rows in the order given; a row of which nothing was measured has no values. */
export const collect = (
  rows: readonly RowHead[],
  measurements: readonly Measurement[],
): readonly RowResult[] =>
  rows.map((row) => ({
    id: row.id,
    title: row.title,
    ...(row.scope !== undefined && { scope: row.scope }),
    metrics: row.metrics.map((metric) => ({
      ...metric,
      values: valuesOf(
        metric,
        measurements.filter((measurement) => measurement.row === row),
      ),
    })),
  }));

function valuesOf(metric: Metric, measurements: readonly Measurement[]): MetricResult['values'] {
  const samples = Map.groupBy(measurements, ({ variant }) => variant);
  const cells = [...samples].flatMap(([variant, of]) => {
    const cell = cellOf(of.flatMap(({ sample }) => sample[metric.id] ?? []));
    return cell === undefined ? [] : [[variant, cell] as const];
  });
  return Object.fromEntries(cells);
}

function cellOf(samples: readonly number[]): Cell | undefined {
  const middle = median(samples);
  if (middle === undefined) return undefined;
  const apart = spread(samples);
  return { median: middle, samples, ...(apart === undefined ? {} : { spread: apart }) };
}

/** The median of one metric; undefined when it was not measured. */
export const valueOf = (
  results: readonly RowResult[],
  row: string,
  metric: string,
  variant: VariantId,
): number | undefined =>
  results.find(({ id }) => id === row)?.metrics.find(({ id }) => id === metric)?.values[variant]?.median;
