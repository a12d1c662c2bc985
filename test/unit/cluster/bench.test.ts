/** What the bench of the cluster makes of its figures. */
import { describe, expect, it } from '@jest/globals';
import { judge } from '../../bench/targets.ts';
import { clusterTargets } from '../../cluster/bench/targets.ts';
import { rowResult } from '../bench/support.ts';

const verdicts = (row: string, metric: string, values: Parameters<typeof rowResult>[2]) =>
  judge([rowResult(row, metric, values)], clusterTargets).map(({ title, shown, met }) => [title, shown, met]);

const reboot = (enrolled: number) => {
  const [one, other] = [
    rowResult('reboot', 'enrolled', { mesh: enrolled }),
    rowResult('reboot', 'of', { mesh: 3 }),
  ];
  const row = { ...one, metrics: [...one.metrics, ...other.metrics] };
  return judge([row], clusterTargets).map(({ shown, met }) => [shown, met]);
};

describe('the targets of the cluster', () => {
  it('allow no failed request through a rolling restart, whatever fails without the mesh', () => {
    expect(verdicts('abrupt', 'failed', { none: 39, mesh: 1 })).toEqual([
      ['abrupt rolling restart', '1 failed', false],
    ]);
    expect(verdicts('abrupt', 'failed', { none: 39, mesh: 0 })[0]?.[2]).toBe(true);
  });

  it('allow ten failed requests for each of three kills', () => {
    expect(verdicts('kills', 'failed', { mesh: 30 })[0]?.[2]).toBe(true);
    expect(verdicts('kills', 'failed', { mesh: 31 })[0]?.[2]).toBe(false);
  });

  it('want the same node to be as fast as no mesh in the same run', () => {
    expect(verdicts('kept-near', 'p50', { none: 0.5, mesh: 0.55 })).toEqual([
      ['kept connections, same node: p50', '1.10x', true],
    ]);
    expect(verdicts('fast-near', 'rate', { none: 10_000, mesh: 9000 })[0]?.slice(1)).toEqual([
      '0.90x',
      false,
    ]);
  });

  it('want every labelled pod back after a reboot', () => {
    expect(reboot(3)).toEqual([['3 of 3', true]]);
    expect(reboot(2)).toEqual([['2 of 3', false]]);
  });

  it('judge nothing that was not measured', () => {
    expect(judge([], clusterTargets)).toEqual([]);
  });
});
