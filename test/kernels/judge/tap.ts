/** What Node's test runner counted, from its TAP output. Pure. */

export interface Counts {
  readonly passed: number;
  readonly failed: number;
  /** Also those that were cancelled or are still to be written: not run is not passed. */
  readonly skipped: number;
}

/** Undefined unless the run came to its end and counted. */
export function countsOf(tap: string): Counts | undefined {
  const count = (word: string): number | undefined => {
    const found = new RegExp(`^# ${word} (\\d+)$`, 'm').exec(tap)?.[1];
    return found === undefined ? undefined : Number(found);
  };
  const [passed, failed, skipped, cancelled, todo] = ['pass', 'fail', 'skipped', 'cancelled', 'todo'].map(
    count,
  );
  if (passed === undefined || failed === undefined || skipped === undefined) return undefined;
  if (cancelled === undefined || todo === undefined) return undefined;
  return { passed, failed, skipped: skipped + cancelled + todo };
}

/** Names of the tests that failed; suites fail with their tests, and are not named. */
export const failuresOf = (tap: string): readonly string[] =>
  [...tap.matchAll(/^ *not ok \d+ - (.+?)(?: # .*)?\n( *)---\n([^]*?)^\2\.\.\.$/gm)]
    .filter(([, , , details = '']) => /^ *type: 'test'$/m.test(details))
    .map(([, name = '']) => name);
