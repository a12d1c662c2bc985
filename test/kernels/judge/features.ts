/** What a kernel does not have, as was found and as docs/kernels.md says. Pure. */
import { tooOld } from '../../../src/datapath/acceleration/trial.ts';

export interface Skips {
  /** As `doctor` calls them. */
  readonly features: readonly string[];
  /** Titles of tests that have nothing to test there. */
  readonly tests: readonly string[];
}

/** Names of the features that `doctor -o json` calls missing. */
export function missingFeatures(doctor: string): readonly string[] {
  const { items } = JSON.parse(doctor) as { readonly items: readonly { name: string; found: string }[] };
  return items.filter(({ found }) => isMissing(found)).map(({ name }) => name);
}

const isMissing = (found: string): boolean => found.startsWith('missing (Linux ') || found === tooOld;

/** The rows of the document's table of what is skipped, by kernel: `| 5.10 | FEATURE, … | TEST; … |`, or `none`. */
export function documentedSkips(text: string): ReadonlyMap<string, Skips> {
  const table = /^\| kernel \| features[^|\n]*\| tests[^|\n]*\|\n\|[-| ]+\|\n((?:\|.*\|\n)+)/m.exec(
    text,
  )?.[1];
  if (table === undefined) throw new Error('docs/kernels.md has no table of what is skipped');
  const rows = table.trim().split('\n');
  return new Map(
    rows.map((row) => {
      const [series = '', features = '', tests = ''] = row
        .split('|')
        .slice(1)
        .map((cell) => cell.trim());
      return [series, { features: listed(features, ', '), tests: listed(tests, '; ') }];
    }),
  );
}

const listed = (cell: string, separator: string): readonly string[] =>
  cell === 'none' ? [] : cell.split(separator).map((name) => name.replaceAll('`', ''));

/**
 * How the two differ, one sentence each.
 * @param passed titles of tests: not all are run each time, and one that passed has not been skipped
 */
export function skipDifferences(
  found: Skips,
  documented: Skips,
  passed: readonly string[],
): readonly string[] {
  return [
    ...found.features.filter((name) => !documented.features.includes(name)).map(unsaid),
    ...found.tests.filter((name) => !documented.tests.includes(name)).map((name) => unsaid(testOf(name))),
    ...documented.features.filter((name) => !found.features.includes(name)).map(untrue),
    ...documented.tests.filter((name) => passed.includes(name)).map((name) => untrue(testOf(name))),
  ];
}

const testOf = (name: string): string => `what the test "${name}" needs`;
const unsaid = (what: string): string => `${what} is missing, and docs/kernels.md does not say so`;
const untrue = (what: string): string => `${what} is there, and docs/kernels.md says that it is not`;
