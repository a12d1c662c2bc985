/** What Node's test runner counted and named, from its TAP output. Pure. */

export interface Counts {
  readonly passed: number;
  readonly failed: number;
  /** Left out by the test file itself, by a condition on the kernel. */
  readonly skipped: number;
}

/** Undefined unless the run came to its end and counted. */
export function countsOf(tap: string): Counts | undefined {
  const count = (word: string): number | undefined => {
    const found = new RegExp(`^# ${word} (\\d+)$`, 'm').exec(tap)?.[1];
    return found === undefined ? undefined : Number(found);
  };
  const words = ['pass', 'fail', 'skipped', 'cancelled', 'todo'];
  const [passed, failed, skipped, cancelled, todo] = words.map(count);
  if (passed === undefined || failed === undefined || skipped === undefined) return undefined;
  if (cancelled === undefined || todo === undefined) return undefined;
  // What was to be run and was not has not passed.
  return { passed, failed: failed + cancelled + todo, skipped };
}

/** Titles of the tests, by how they ended. Suites are left out: they end as their tests do. */
export interface Titles {
  readonly passed: readonly string[];
  readonly failed: readonly string[];
  readonly skipped: readonly string[];
}

export function titlesOf(tap: string): Titles {
  const points = /^ *(ok|not ok) \d+ - (.+?)(?: # (\w+).*)?\n( *)---\n([^]*?)^\4\.\.\.$/gm;
  const tests = [...tap.matchAll(points)]
    .filter(([, , , , , details = '']) => /^ *type: 'test'$/m.test(details))
    .map(([, outcome, title = '', directive]) => ({
      title,
      end: directive === 'SKIP' ? 'skipped' : outcome === 'ok' ? 'passed' : 'failed',
    }));
  const ended = (how: string): readonly string[] =>
    tests.filter(({ end }) => end === how).map(({ title }) => title);
  return { passed: ended('passed'), failed: ended('failed'), skipped: ended('skipped') };
}
