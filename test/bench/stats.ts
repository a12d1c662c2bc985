/** Arithmetic over samples. Pure. */

/** The middle value; of an even number, the mean of the two in the middle. undefined of none. */
export function median(values: readonly number[]): number | undefined {
  const sorted = values.toSorted((a, b) => a - b);
  const [low, high] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]];
  return low === undefined || high === undefined ? undefined : (low + high) / 2;
}

/** Half the distance between the extremes over the median: how far the rounds disagree. undefined of fewer than two. */
export function spread(values: readonly number[]): number | undefined {
  const middle = median(values);
  if (values.length < 2 || middle === undefined || middle === 0) return undefined;
  return (Math.max(...values) - Math.min(...values)) / 2 / Math.abs(middle);
}

/** `items` begun at another one each round, so that nobody always goes first. */
export function rotated<T>(items: readonly T[], round: number): readonly T[] {
  const start = items.length === 0 ? 0 : round % items.length;
  return [...items.slice(start), ...items.slice(0, start)];
}

/** The smallest value that at least `share` of all do not exceed; undefined of none. */
export function quantile(values: readonly number[], share: number): number | undefined {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)];
}
