/** Which features a kernel lacks, as `doctor` finds, and as docs/kernels.md says. Pure. */

/** Names of the features that `doctor -o json` calls missing. */
export function missingFeatures(doctor: string): readonly string[] {
  const { items } = JSON.parse(doctor) as { readonly items: readonly { name: string; found: string }[] };
  return items.filter(({ found }) => found.startsWith('missing (Linux ')).map(({ name }) => name);
}

/** The rows `| 5.10 | FEATURE, … |` of the document's table of what is skipped; `none` is nothing. */
export function documentedSkips(text: string): ReadonlyMap<string, readonly string[]> {
  const table = /^\| kernel \| skipped \|\n\|[-| ]+\|\n((?:\|.*\|\n)+)/m.exec(text)?.[1];
  if (table === undefined) throw new Error('docs/kernels.md has no table of what is skipped');
  const rows = table.trim().split('\n');
  return new Map(
    rows.map((row) => {
      const [series = '', skipped = ''] = row
        .split('|')
        .slice(1)
        .map((cell) => cell.trim());
      return [series, skipped === 'none' ? [] : skipped.split(', ').map((name) => name.replaceAll('`', ''))];
    }),
  );
}

/** How the two differ, one sentence each. */
export function skipDifferences(found: readonly string[], documented: readonly string[]): readonly string[] {
  return [
    ...found
      .filter((name) => !documented.includes(name))
      .map((name) => `${name} is missing, and docs/kernels.md does not say so`),
    ...documented
      .filter((name) => !found.includes(name))
      .map((name) => `${name} is there, and docs/kernels.md says that it is not`),
  ];
}
