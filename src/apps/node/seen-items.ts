/** Parts of what a node has seen as the admin API tells them. */
import type { Verdict } from '../../model/connection.ts';
import type { DecidedItem } from '../../telemetry/admin-api.ts';

/** @param ms since the epoch */
export const iso = (ms: number): string => new Date(ms).toISOString();

export const decided = ({ allowed, policy, reason }: Verdict): DecidedItem => ({
  allowed,
  policy: policy ?? null,
  reason,
});
