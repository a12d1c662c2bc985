/**
 * Readiness as Kubernetes counts it: a threshold of successes in a row makes a container ready, a threshold of
 * failures makes it unready. Pure. One difference on purpose: until the first success it is asked every quarter of a
 * second, so that a lab does not wait out a ten-second period for a program that listens after a moment.
 */
import type { Probe } from '../../kube/objects.ts';

export interface ProbeState {
  readonly ready: boolean;
  /** Equal outcomes in a row, up to the threshold that matters. */
  readonly streak: number;
  readonly lastSucceeded: boolean;
}

export const initialProbeState: ProbeState = { ready: false, streak: 0, lastSucceeded: false };

export function afterProbe(state: ProbeState, succeeded: boolean, probe: Probe): ProbeState {
  const streak = state.lastSucceeded === succeeded ? state.streak + 1 : 1;
  const threshold = succeeded ? (probe.successThreshold ?? 1) : (probe.failureThreshold ?? 3);
  return { ready: streak >= threshold ? succeeded : state.ready, streak, lastSucceeded: succeeded };
}

const impatientMs = 250;

/** How long to wait before the next probe. */
export function probeDelayMs(state: ProbeState, probe: Probe, first: boolean): number {
  if (first) return (probe.initialDelaySeconds ?? 0) * 1000;
  const period = (probe.periodSeconds ?? 10) * 1000;
  return state.ready ? period : Math.min(period, impatientMs);
}

export const probeTimeoutMs = (probe: Probe): number => (probe.timeoutSeconds ?? 1) * 1000;
