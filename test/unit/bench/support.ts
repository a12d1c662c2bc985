/** Results of a bench as values, for the tests of what is made of them. */
import type { RowResult } from '../../bench/results.ts';
import type { VariantId } from '../../bench/variants/variant.ts';

type Medians = Readonly<Partial<Record<VariantId, number>>>;

/** One row with one metric. */
export const rowResult = (id: string, metric: string, medians: Medians): RowResult => ({
  id,
  title: `row ${id}`,
  metrics: [
    {
      id: metric,
      unit: 'units',
      digits: 1,
      values: Object.fromEntries(
        Object.entries(medians).map(([variant, median]) => [variant, { median, samples: [median] }]),
      ),
    },
  ],
});
