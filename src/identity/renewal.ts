/** When to ask for a certificate: pure arithmetic over times in milliseconds. */

/** Why a certificate is asked for, most urgent first: a connection waits, none is usable, the one in use gets old. */
export const urgencies = ['demanded', 'missing', 'renewal'] as const;
export type Urgency = (typeof urgencies)[number];

/** Delays after a failed request. */
export const minRetryMs = 500;
export const maxRetryMs: Readonly<Record<Urgency, number>> = {
  demanded: 1_000,
  missing: 15_000,
  renewal: 150_000,
};

/** Shares of a certificate's life at which a failing renewal is reported again. */
const alarmPercents = [90, 75, 50] as const;
export type AlarmPercent = (typeof alarmPercents)[number];

/**
 * When to renew: the middle of what is left of the life, moved by up to 10 % so that a cluster that started at once
 * does not renew at once. `random` is in [0, 1).
 */
export function renewAt(obtainedAt: number, notAfter: number, random: number): number {
  const half = Math.max(minRetryMs, (notAfter - obtainedAt) / 2);
  return obtainedAt + half * (0.9 + 0.2 * random);
}

/** Delay before attempt `failures + 1`: exponential, with full jitter above the minimum. */
export function retryDelayMs(failures: number, random: number, urgency: Urgency): number {
  const upper = Math.min(maxRetryMs[urgency], minRetryMs * 2 ** Math.min(failures, 20));
  return minRetryMs + (upper - minRetryMs) * random;
}

/** Share of the life that has passed, 0 before it and 1 after it. */
export function lifeUsed(
  life: { readonly notBefore: number; readonly notAfter: number },
  now: number,
): number {
  const share = (now - life.notBefore) / Math.max(1, life.notAfter - life.notBefore);
  return Math.min(1, Math.max(0, share));
}

/** The highest alarm reached, if any. */
export function alarmAt(used: number): AlarmPercent | undefined {
  return alarmPercents.find((percent) => used * 100 >= percent);
}
