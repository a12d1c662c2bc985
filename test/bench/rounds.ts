/** The order of measurements: round by round, row by row, one variant after the other, and never the same one first. */
import type { Measurement } from './results.ts';
import type { Row, RowContext } from './rows/row.ts';
import { rotated } from './stats.ts';
import { acrossNodes, type Variant, type VariantId } from './variants/variant.ts';

export interface Plan {
  readonly rows: readonly Row[];
  readonly variants: readonly Variant[];
  readonly rounds: number;
}

/** How long a warm-up of one row is, seconds: V8 compiles the way of a short connection after a few thousand of them. */
const warmUpSeconds = 6;

export interface Step {
  /** From 0; undefined for a warm-up, which is not counted. */
  readonly round: number | undefined;
  readonly row: Row;
  readonly variant: Variant;
}

/**
 * Rows that are measured once come first: what they look at is disturbed by load. Then every proxy is warmed up on
 * every row, so that the first round finds compiled code and open tunnels as the last one does.
 */
export function stepsOf({ rows, variants, rounds }: Plan): readonly Step[] {
  const once = rows.filter((row) => row.once === true);
  const repeated = rows.filter((row) => row.once !== true);
  return [
    ...once.flatMap((row) => turn(row, variants, 0)),
    ...repeated.flatMap((row) => warmUp(row, variants)),
    ...Array.from({ length: rounds }, (_, round) =>
      repeated.flatMap((row) =>
        Array.from({ length: row.turns ?? 1 }, (__, i) => turn(row, variants, round, i)).flat(),
      ),
    ).flat(),
  ];
}

const turn = (row: Row, variants: readonly Variant[], round: number, i = 0): readonly Step[] =>
  rotated(measurable(row, variants), round + i).map((variant) => ({ round, row, variant }));

function measurable(row: Row, variants: readonly Variant[]): readonly Variant[] {
  const ids: readonly VariantId[] = row.variants ?? acrossNodes;
  return variants.filter(({ id }) => ids.includes(id));
}

/** Rows cut into turns look at the kernel only, or come after rows that have warmed up the proxies. */
const warmUp = (row: Row, variants: readonly Variant[]): readonly Step[] =>
  row.turns !== undefined
    ? []
    : measurable(row, variants)
        .filter((variant) => !unproxied.has(variant.id))
        .map((variant) => ({ round: undefined, row, variant }));

const unproxied: ReadonlySet<VariantId> = new Set(['none', 'node-none']);

export interface Outcome {
  readonly measurements: readonly Measurement[];
  readonly problems: readonly string[];
}

export interface Watching {
  readonly progress: (line: string) => void;
  readonly describe: (sample: Measurement['sample'], row: Row) => string;
}

/** Takes the steps. A step that fails is told of and left out; only an interruption ends the run. */
export async function takeSteps(
  steps: readonly Step[],
  context: RowContext,
  { progress, describe }: Watching,
): Promise<Outcome> {
  const measurements: Measurement[] = [];
  const problems: string[] = [];
  for (const [i, { row, variant, round }] of steps.entries()) {
    const what = `${row.title}: ${variant.id}`;
    const where = `[${i + 1}/${steps.length}] ${round === undefined ? 'warm-up' : `round ${round + 1}`}`;
    try {
      const seconds = round === undefined ? warmUpSeconds : context.seconds / (row.turns ?? 1);
      const sample = await row.measure(variant, { ...context, seconds });
      if (round !== undefined) measurements.push({ row, variant: variant.id, sample });
      progress(`${where}  ${what}  ${describe(sample, row)}`);
    } catch (error) {
      context.signal.throwIfAborted();
      const problem = `${what}: ${error instanceof Error ? error.message : String(error)}`;
      problems.push(problem);
      progress(`${where}  ${problem}`);
    }
  }
  return { measurements, problems };
}
