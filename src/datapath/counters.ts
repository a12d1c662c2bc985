/** The programs' event counters by name, summed over the CPUs. */
import { type CounterName, counterNames } from './abi/counters.ts';
import type { MapTable } from './map-table.ts';

export function readCounters(
  table: Pick<MapTable<number, bigint>, 'entries'>,
): Readonly<Record<CounterName, bigint>> {
  const sums = counterNames.map(() => 0n);
  for (const [index, value] of table.entries()) sums[index] = (sums[index] ?? 0n) + value;
  return Object.fromEntries(counterNames.map((name, index) => [name, sums[index] ?? 0n])) as Record<
    CounterName,
    bigint
  >;
}
