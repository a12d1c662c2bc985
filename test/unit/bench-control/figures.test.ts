import { describe, expect, it } from '@jest/globals';
import {
  figureIds,
  figures,
  judge,
  type Report,
  renderReport,
  type Values,
} from '../../bench-control/figures.ts';

const sizes = (small: Values, large: Values): Report['sizes'] => [
  { pods: 1_000, values: small },
  { pods: 10_000, values: large },
];

const verdictOf = (resident: number) =>
  judge(sizes({ resident: 9999 }, { resident })).find(({ title }) => title === figures.resident.title);

const report = (measured: Report['sizes'], problems: readonly string[] = []): string =>
  renderReport({
    facts: { kernel: '6.1.0' },
    method: 'once',
    sizes: measured,
    targets: judge(measured),
    problems,
  });

describe('the targets', () => {
  it('are judged at the largest size, met at their limit and missed above it', () => {
    expect(verdictOf(250)).toMatchObject({ met: true, shown: '250 MB', limit: 'at most 250 MB' });
    expect(verdictOf(250.1)?.met).toBe(false);
  });

  it('are missed when nothing was measured', () => {
    const verdicts = judge([]);
    expect(verdicts.length).toBe(figureIds.filter((id) => 'atMost' in figures[id]).length);
    expect(verdicts.every(({ met, shown }) => !met && shown === 'not measured')).toBe(true);
  });
});

describe('the report', () => {
  it('shows each figure at each size, and how it grows', () => {
    expect(report(sizes({ readyFromApi: 2 }, { readyFromApi: 5 }))).toMatch(
      /ready, all read from the API +s +2\.00 +5\.00 +2\.5x/,
    );
  });

  it('leaves a dash, not a zero, where nothing was measured, and says why', () => {
    const text = report(sizes({}, { idleCpu: 0.5 }), ['1000 pods: it ended']);
    expect(text).toMatch(/CPU while nothing changes +% of core +- +0\.50 +-/);
    expect(text).toContain('not measured\n  1000 pods: it ended');
  });

  it('has no growth of a single size', () => {
    expect(report([{ pods: 1_000, values: { idleCpu: 0.5 } }])).not.toContain('growth');
  });
});
