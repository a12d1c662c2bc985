/** Where a text's lines begin. The YAML parser counts only lines it has come by, and tells of errors further on. Pure. */
export interface TextPosition {
  /** Both from 1; the column in UTF-16 units, as editors count. */
  readonly line: number;
  readonly column: number;
}

/** @returns the position of an offset; of one past the end, the end's. */
export function textPositions(text: string): (offset: number) => TextPosition {
  const starts = [0];
  for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) starts.push(at + 1);
  return (offset) => {
    const within = Math.min(Math.max(offset, 0), text.length);
    const index = lastAtMost(starts, within);
    return { line: index + 1, column: within - (starts[index] ?? 0) + 1 };
  };
}

/** Index of the last of ascending numbers, the first of which is 0, that does not exceed `value`. */
function lastAtMost(ascending: readonly number[], value: number): number {
  let [low, high] = [0, ascending.length];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if ((ascending[middle] ?? 0) <= value) low = middle;
    else high = middle;
  }
  return low;
}
