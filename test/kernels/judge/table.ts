/** The matrix as text, for a terminal and for build/kernels/. Pure. */
import { renderTable } from '../../bench/report.ts';
import type { Skips } from './features.ts';
import type { KernelResult } from './result.ts';
import type { Counts } from './tap.ts';

export function renderMatrix(results: readonly KernelResult[]): string {
  return [
    ...renderTable(stepTable(results)),
    '',
    'instructions the verifier went through / in the kernel / bytes of machine code',
    ...renderTable(programTable(results)),
    '',
    ...results.map(({ series, skipped }) => `skipped on ${series}: ${renderSkips(skipped)}`),
    ...results.flatMap(({ series, problems }) => problems.map((problem) => `  ✘ ${series}  ${problem}`)),
    '',
  ].join('\n');
}

const renderSkips = ({ features, tests }: Skips): string =>
  [...features, ...tests.map((title) => `the test “${title}”`)].join(', ') || 'nothing';

type Line = readonly string[];

function stepTable(results: readonly KernelResult[]): readonly Line[] {
  const names = [...new Set(results.flatMap(({ steps }) => steps.map(({ name }) => name)))];
  return [
    ['step', '', ...results.map(({ series }) => series)],
    ['kernel', '', ...results.map(({ release }) => release ?? 'did not boot')],
    ...names.map((name) => [name, '', ...results.map((result) => outcome(result, name))]),
    ['all', '', ...results.map(outcomeOfAll)],
  ];
}

function outcome({ steps }: KernelResult, name: string): string {
  const found = steps.find((step) => step.name === name);
  if (found === undefined) return '-';
  const { counts, problems, seconds } = found;
  return words(counts, problems.length > 0, seconds);
}

function outcomeOfAll(result: KernelResult): string {
  const skipped = result.steps.reduce((sum, { counts }) => sum + counts.skipped, 0);
  return words({ ...tally([result]), skipped }, result.problems.length > 0, result.seconds);
}

const words = ({ passed, failed, skipped }: Counts, isWrong: boolean, seconds: number | undefined): string =>
  [
    `${passed} ok`,
    ...(skipped > 0 ? [`${skipped} skipped`] : []),
    ...(isWrong ? [`${failed} FAILED`] : []),
    ...(seconds === undefined ? [] : [`${seconds.toFixed(0)} s`]),
  ].join(', ');

function programTable(results: readonly KernelResult[]): readonly Line[] {
  const names = [...new Set(results.flatMap(({ programs }) => programs.map(({ program }) => program)))];
  return [
    ['program', '', ...results.map(({ series }) => series)],
    ...names.map((name) => [name, '', ...results.map((result) => cost(result, name))]),
  ];
}

function cost({ programs }: KernelResult, name: string): string {
  const found = programs.find(({ program }) => program === name);
  if (found === undefined) return '-';
  return `${found.verified} / ${found.instructions} / ${found.machineBytes}`;
}

/** As the ladder counts: every test, and what is wrong besides. */
export function tally(results: readonly KernelResult[]): {
  readonly passed: number;
  readonly failed: number;
} {
  const steps = results.flatMap((result) => result.steps);
  const passed = steps.reduce((sum, { counts }) => sum + counts.passed, 0);
  const failed = steps.reduce((sum, { counts }) => sum + counts.failed, 0);
  const isWrong = results.length === 0 || results.some(({ problems }) => problems.length > 0);
  return { passed, failed: failed === 0 && isWrong ? 1 : failed };
}
