/** Numbers as people read them: ages, durations, byte counts. */
const steps = [
  { unit: 'd', ms: 86_400_000 },
  { unit: 'h', ms: 3_600_000 },
  { unit: 'm', ms: 60_000 },
  { unit: 's', ms: 1000 },
] as const;

/** `3d`, `21h`, `4m`, `12s`: the largest unit that fits, rounded down. */
export function formatAge(ms: number): string {
  const step = steps.find((each) => ms >= each.ms);
  return step === undefined ? '0s' : `${Math.floor(ms / step.ms)}${step.unit}`;
}

/** How long until a time in RFC 3339, or `expired`. */
export function formatUntil(time: string, now: number): string {
  const left = Date.parse(time) - now;
  return left <= 0 ? 'expired' : formatAge(left);
}

/** `250µs`, `12ms`, `1.5s`, then as an age. */
export function formatDuration(ms: number): string {
  if (ms < 1) return `${Math.round(ms * 1000)}µs`;
  if (ms < 1000) return `${Math.round(ms)}ms`;
  return ms < 60_000 ? `${(ms / 1000).toFixed(1)}s` : formatAge(ms);
}

const byteUnits = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const;

export function formatBytes(bytes: number): string {
  const power = bytes < 1024 ? 0 : Math.min(byteUnits.length - 1, Math.floor(Math.log2(bytes) / 10));
  const value = bytes / 1024 ** power;
  return `${power === 0 ? value : value.toFixed(1)} ${byteUnits[power] ?? 'B'}`;
}

/** `1 pod`, `2 pods`. */
export const plural = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`;
