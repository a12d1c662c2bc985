/** One row of the table: what is measured of every variant, and how. */
import { cpuSeconds } from '../cpu.ts';
import type { LoadTool } from '../load/load.ts';
import type { RowHead } from '../results.ts';
import type { Variant, VariantId } from '../variants/variant.ts';

export interface Metric {
  readonly id: string;
  readonly unit: string;
  readonly digits: number;
}

/** One measurement: a value by the metric's id. A metric that a variant does not have (CPU without a proxy) is absent. */
export type Sample = Readonly<Record<string, number>>;

export interface RowContext {
  readonly load: LoadTool;
  /** How long one measurement is to take, seconds. */
  readonly seconds: number;
  /** The unmeshed server, for connections that leave the mesh. */
  readonly unmeshedHost: string;
  readonly signal: AbortSignal;
}

export interface Row extends RowHead {
  /** The variants it can be measured of; absent: all. */
  readonly variants?: readonly VariantId[];
  /** Measured in the first round only, before everything else. */
  readonly once?: boolean;
  /** Into how many shorter turns each measurement is cut, to see small differences through a drifting machine. */
  readonly turns?: number;
  measure(variant: Variant, context: RowContext): Promise<Sample>;
}

export const cpuPerGigabyte: Metric = { id: 'cpu', unit: 'CPU s/GB', digits: 2 };
export const cpuEach: Metric = { id: 'cpu', unit: 'CPU µs each', digits: 1 };

/** The CPU seconds that the variant's proxies use during `action`; undefined without proxies. */
export async function withCpu<T>(
  variant: Variant,
  action: () => Promise<T>,
): Promise<{ readonly result: T; readonly cpu: number | undefined }> {
  const pids = variant.proxies();
  if (pids.length === 0) return { result: await action(), cpu: undefined };
  const before = cpuSeconds(pids);
  const result = await action();
  return { result, cpu: cpuSeconds(pids) - before };
}

/** A sample on one line, for progress. */
export const describeSample = (sample: Sample, { metrics }: RowHead): string =>
  metrics
    .flatMap(({ id, unit, digits }) =>
      sample[id] === undefined ? [] : [`${sample[id].toFixed(digits)} ${unit}`],
    )
    .join(', ');
