/** One row of the table: a scenario that is played without a mesh and in it, or in the mesh alone. */
import type { RowHead } from '../../bench/results.ts';
import type { Sample } from '../../bench/rows/row.ts';
import type { Place, Stage } from './stage.ts';

/** `none` stands beside the mesh in the same cluster: pods of a namespace without the label. */
export type Side = 'none' | 'mesh';

export interface ClusterRow extends RowHead {
  readonly sides: readonly Side[];
  measure(stage: Stage, place: Place): Promise<Sample>;
}

export const bothSides: readonly Side[] = ['none', 'mesh'];
export const meshAlone: readonly Side[] = ['mesh'];

export const count = (id: string, unit: string) => ({ id, unit, digits: 0 });
export const milliseconds = (id: string, unit: string) => ({ id, unit, digits: 2 });
