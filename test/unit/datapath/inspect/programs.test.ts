import { describe, expect, it } from '@jest/globals';
import { countedBetween } from '../../../../src/datapath/inspect/programs.ts';
import { program } from '../../cli/fake-kernel.ts';

const at = (runs: bigint, totalNs: bigint, extra = {}): ReturnType<typeof program> =>
  program('mesh_connect4', { runs, totalNs, averageNs: undefined, ...extra });

describe('what programs did between two readings', () => {
  it('is the difference, place by place', () => {
    const before = [at(10n, 1000n), at(5n, 50n, { target: 'cgroup 2' })];
    const after = [at(14n, 2200n), at(5n, 50n, { target: 'cgroup 2' })];
    expect(countedBetween(before, after)).toMatchObject([
      { runs: 4n, totalNs: 1200n, averageNs: 300 },
      { runs: 0n, totalNs: 0n, averageNs: undefined },
    ]);
  });

  it('is all of a program that was loaded meanwhile', () => {
    const after = [at(3n, 30n), at(7n, 70n, { tag: 'another' }), at(1n, 10n, { target: 'new pod' })];
    expect(countedBetween([at(10n, 1000n)], after).map(({ runs }) => runs)).toEqual([3n, 7n, 1n]);
  });
});
