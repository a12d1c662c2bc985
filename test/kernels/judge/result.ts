/** What a run of the matrix says of one kernel: each step's outcome, what it skipped, and everything that is wrong. Pure. */
import type { Run } from '../machine/boot.ts';
import { complaintsOf, panicOf } from '../machine/console.ts';
import type { StepEnd } from '../machine/transcript.ts';
import type { Step } from '../steps.ts';
import { missingFeatures, skipDifferences, type Skips } from './features.ts';
import { type ProgramCost, programCosts } from './programs.ts';
import { type Counts, countsOf, titlesOf } from './tap.ts';

export interface StepResult {
  readonly name: string;
  /** Of tests; a step without counts as one. */
  readonly counts: Counts;
  /** How long it took; undefined when it did not come to its end. */
  readonly seconds: number | undefined;
  /** What is wrong, one sentence each; empty when all is well. */
  readonly problems: readonly string[];
}

export interface KernelResult {
  readonly series: string;
  /** What `uname -r` said; undefined when it did not boot. */
  readonly release: string | undefined;
  /** Of its machines together. */
  readonly seconds: number;
  readonly steps: readonly StepResult[];
  readonly programs: readonly ProgramCost[];
  readonly skipped: Skips;
  readonly problems: readonly string[];
}

export interface Evidence {
  readonly series: string;
  /** Of the package: what must have booted. */
  readonly release: string;
  readonly seconds: number;
  readonly steps: readonly Step[];
  /** Of each machine that had some of the steps. */
  readonly runs: readonly Run[];
  /** A file among the results; empty when there is none. */
  readonly file: (name: string) => string;
  /** Names of all programs there are. */
  readonly programNames: readonly string[];
  /** What docs/kernels.md says of this kernel. */
  readonly documentedSkips: Skips;
}

export function judgeKernel(evidence: Evidence): KernelResult {
  const { series, seconds, steps, runs, file } = evidence;
  const ended = new Map(runs.flatMap(({ transcript }) => transcript.ended).map((end) => [end.step, end]));
  const results = steps.map((step) => judgeStep(step, ended.get(step.name), file));
  const isEnded = (kind: Step['kind']): boolean =>
    steps.some((step) => step.kind === kind && ended.get(step.name)?.status === 0);
  const programs = isEnded('programs') ? programCosts(file('programs.log'), file('programs.json')) : [];
  const titles = steps.map(({ name }) => titlesOf(file(`${name}.tap`)));
  const skipped = {
    features: isEnded('doctor') ? missingFeatures(file('doctor.json')) : [],
    tests: titles.flatMap((each) => each.skipped),
  };
  const passed = titles.flatMap((each) => each.passed);
  const complaints = new Set(runs.flatMap(({ messages }) => complaintsOf(messages)));
  return {
    series,
    release: runs.find(({ transcript }) => transcript.release !== undefined)?.transcript.release,
    seconds,
    steps: results,
    programs,
    skipped,
    problems: [
      ...new Set(runs.flatMap((run) => machineProblems(run, evidence.release))),
      ...results.flatMap(({ name, problems }) => problems.map((problem) => `${name}: ${problem}`)),
      ...(isEnded('programs') ? unmeasured(evidence.programNames, programs) : []),
      ...(isEnded('doctor') ? skipDifferences(skipped, evidence.documentedSkips, passed) : []),
      ...[...complaints].map((line) => `the kernel complained: ${line}`),
    ],
  };
}

/** What ended the machine before its time, if anything did. */
function machineProblems(
  { transcript, timedOut, console, complaint }: Run,
  release: string,
): readonly string[] {
  const where = transcript.running === undefined ? '' : ` during ${transcript.running}`;
  const panic = panicOf(console);
  return [
    ...(panic === undefined ? [] : [`the kernel panicked${where}: ${panic}`]),
    ...(timedOut ? [`its time was up${where}: it was ended`] : []),
    ...(transcript.nonsense === undefined
      ? []
      : [`it said "${transcript.nonsense}", which it should not${where}`]),
    ...(transcript.release === undefined || transcript.release === release
      ? []
      : [`it calls itself ${transcript.release} and not ${release}`]),
    ...(transcript.complete || timedOut || panic !== undefined || transcript.nonsense !== undefined
      ? []
      : [`the machine ended too soon${where}${complaint === '' ? '' : `: ${complaint}`}`]),
  ];
}

const nothing: Counts = { passed: 0, failed: 0, skipped: 0 };
const one = (passed: boolean): Counts => ({ ...nothing, passed: passed ? 1 : 0, failed: passed ? 0 : 1 });

function judgeStep({ name, kind }: Step, end: StepEnd | undefined, file: Evidence['file']): StepResult {
  const seconds = end?.seconds;
  if (end === undefined) return { name, seconds, counts: one(false), problems: ['did not come to its end'] };
  const { status } = end;
  const problems = status === 0 ? [] : [statusProblem(status)];
  if (kind !== 'tests') return { name, seconds, counts: one(status === 0), problems };
  const counts = countsOf(file(`${name}.tap`));
  if (counts === undefined)
    return { name, seconds, counts: one(false), problems: [...problems, 'counted no tests'] };
  const { failed } = titlesOf(file(`${name}.tap`));
  return {
    name,
    seconds,
    counts: status === 0 || counts.failed > 0 ? counts : { ...counts, failed: 1 },
    problems: [
      ...problems,
      ...(failed.length > 0 ? [`failed: ${failed.join('; ')}`] : []),
      ...(counts.passed + counts.failed === 0 ? ['ran no tests'] : []),
    ],
  };
}

const statusProblem = (status: number): string =>
  status === 124 || status === 137 ? 'its time was up' : `ended with ${status}`;

/** A program that was not measured was not loaded, or the log could not be read: both must be known. */
const unmeasured = (names: readonly string[], programs: readonly ProgramCost[]): readonly string[] =>
  names
    .filter((name) => !programs.some(({ program }) => program === name))
    .map((name) => `the verifier's log tells nothing of ${name}`);
