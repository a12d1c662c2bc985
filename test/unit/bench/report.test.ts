import { describe, expect, it } from '@jest/globals';
import { type Report, renderReport } from '../../bench/report.ts';
import { collect } from '../../bench/results.ts';
import { bulkRow } from '../../bench/rows/bulk.ts';
import { judge } from '../../bench/targets.ts';
import { rowResult } from './support.ts';

const report = (more: Partial<Report>): string =>
  renderReport({
    facts: { kernel: '6.1.0' },
    method: 'medians',
    rounds: 3,
    variants: ['none', 'mesh', 'haproxy'],
    rows: [],
    targets: [],
    problems: [],
    ...more,
  });

const connectVerdict = (mesh: number): unknown =>
  judge([rowResult('unmeshed-connect', 'p50', { mesh, none: 40 })]).map(({ shown, met }) => [shown, met]);

const within = (row: string, metric: string, kernel: number, none: number): unknown =>
  judge([rowResult(row, metric, { 'node-kernel': kernel, 'node-none': none })])
    .filter(({ title }) => title.startsWith('within a node'))
    .map(({ shown, met }) => [shown, met]);

const acceleratedTrip = (accelerated: number): unknown =>
  judge([rowResult('node-ping-1', 'p50', { 'node-accelerated': accelerated, 'node-none': 50 })]);

describe('collecting rounds', () => {
  it('shows the median of the rounds and how far they were apart', () => {
    const up = bulkRow('up', 1);
    const measured = [3, 1, 2].map((rate) => ({ row: up, variant: 'mesh' as const, sample: { rate } }));
    const [row] = collect([up], measured);
    expect(row?.metrics[0]?.values).toEqual({ mesh: { median: 2, samples: [3, 1, 2], spread: 0.5 } });
  });

  it('has no CPU for a variant without proxies', () => {
    const up = bulkRow('up', 1);
    const [row] = collect([up], [{ row: up, variant: 'none', sample: { rate: 20 } }]);
    expect(row?.metrics.map(({ id, values }) => [id, Object.keys(values)])).toEqual([
      ['rate', ['none']],
      ['cpu', []],
    ]);
  });
});

describe('the targets', () => {
  it('are met at their limit and missed above it', () => {
    const met = judge([rowResult('up-1', 'cpu', { mesh: 2.1, haproxy: 2 })]);
    const missed = judge([rowResult('up-1', 'cpu', { mesh: 2.2, haproxy: 2 })]);
    expect([met[0]?.met, missed[0]?.met]).toEqual([true, false]);
    expect(missed[0]).toMatchObject({ shown: '1.10x', limit: 'at most 1.05x HAProxy' });
  });

  it('take a connect that is 6 µs dearer than without a mesh for a miss, a cheaper one for a pass', () => {
    expect(connectVerdict(46)).toEqual([['+6.0 µs', false]]);
    expect(connectVerdict(39)).toEqual([['-1.0 µs', true]]);
  });

  it('hold the kernel path to what there is without a mesh', () => {
    expect(within('node-connect', 'p50', 55, 45)).toEqual([['+10.0 µs', true]]);
    expect(within('node-connect', 'p50', 56, 45)).toEqual([['+11.0 µs', false]]);
    expect(within('node-first', 'p50', 2100, 60)).toEqual([['+2.04 ms', false]]);
    expect(within('node-up-1', 'rate', 19.4, 20)).toEqual([['97.0 %', true]]);
    expect(within('node-up-8', 'rate', 19.3, 20)).toEqual([['96.5 %', false]]);
    expect(within('node-ping-1', 'p50', 52, 50)).toEqual([['104.0 %', false]]);
    expect(within('node-short-8', 'cpu', 9.8, 0)).toEqual([['9.8 µs', true]]);
  });

  it('want what is accelerated to be a fifth faster than no mesh', () => {
    expect(acceleratedTrip(40)).toMatchObject([
      { title: 'accelerated: 64-byte round trip', shown: '80.0 %', met: true },
    ]);
    expect(acceleratedTrip(41)).toMatchObject([{ shown: '82.0 %', met: false }]);
  });

  it('hold it to the same in a large mesh', () => {
    const results = [rowResult('node-connect', 'p50', { 'node-large': 60, 'node-none': 45 })];
    expect(judge(results)).toMatchObject([{ title: 'the same in a large mesh: connect()', met: false }]);
  });

  it('are not judged without both figures', () => {
    expect(judge([rowResult('up-1', 'cpu', { mesh: 2 })])).toEqual([]);
  });
});

describe('the report', () => {
  it('has a table of its own for what was measured within a node', () => {
    const row = {
      ...rowResult('node-up-1', 'rate', { 'node-none': 40, 'node-kernel': 39 }),
      scope: 'node' as const,
    };
    const text = report({
      variants: ['none', 'mesh', 'node-none', 'node-kernel'],
      rows: [rowResult('up-1', 'rate', { none: 20, mesh: 10 }), row],
    });
    expect(text).toMatch(/row up-1 +units +20\.0 +10\.0 +0\.50x\n\nwithin a node\n/);
    expect(text).toMatch(
      /figure +unit +no mesh +kernel path +\/ no mesh\n[- ]+\nrow node-up-1 +units +40\.0 +39\.0 +0\.97x/,
    );
  });

  it('sets the project against its peers', () => {
    const text = report({ rows: [rowResult('up-1', 'rate', { none: 20, mesh: 4, haproxy: 5 })] });
    expect(text).toMatch(/figure +unit +no mesh +mesh-ebpf +HAProxy +\/ HAProxy +\/ no mesh/);
    expect(text).toMatch(/row up-1 +units +20\.0 +4\.0 +5\.0 +0\.80x +0\.20x/);
  });

  it('leaves a dash, not a zero, where nothing was measured', () => {
    expect(report({ rows: [rowResult('up-1', 'cpu', { mesh: 4 })] })).toMatch(/units +- +4\.0 +- +- +-/);
  });

  it('marks missed targets in words too, and says what could not be measured', () => {
    const text = report({
      targets: [{ title: 'CPU per GB', limit: 'at most 1.05x HAProxy', shown: '3.00x', met: false }],
      problems: ['bulk up: haproxy: no route'],
    });
    expect(text).toMatch(/✘ CPU per GB +3\.00x +at most 1\.05x HAProxy \(missed\)/);
    expect(text).toMatch(/not measured\n {2}bulk up: haproxy: no route/);
  });
});
