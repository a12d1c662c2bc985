/**
 * How full the maps are that can fill up. A full one refuses, or takes a longer way (`whenFull`), so people are told
 * before: by the metrics always, by `status`, `doctor` and `maps list` once a map is nearly full.
 */
import type { AnyMapSpec } from './maps.ts';

export interface MapOccupancy {
  readonly map: Pick<AnyMapSpec, 'name' | 'whenFull' | 'sizedBy'>;
  readonly entries: number;
  readonly capacity: number;
}

const nearlyFull = 0.8;

export const isNearlyFull = ({ entries, capacity }: Pick<MapOccupancy, 'entries' | 'capacity'>): boolean =>
  entries >= capacity * nearlyFull;
