/** Runs a container's readiness probe for as long as the container runs. */
import type { Clock } from '../../base/clock.ts';
import type { Probe } from '../../kube/objects.ts';
import { afterProbe, initialProbeState, probeDelayMs } from '../plan/probe-state.ts';
import type { ProbeState } from '../plan/probe-state.ts';

export interface ReadinessOptions {
  readonly probe: Probe;
  /** What is known so far. */
  readonly ready: boolean;
  /** Asks once. */
  readonly check: () => Promise<boolean>;
  readonly clock: Clock;
  readonly onChange: (ready: boolean) => void;
}

/** Returns the way to stop it. */
export function watchReadiness({ probe, ready, check, clock, onChange }: ReadinessOptions): () => void {
  let state: ProbeState = { ...initialProbeState, ready };
  let stopped = false;
  let cancel = clock.after(probeDelayMs(state, probe, true), ask);

  function ask(): void {
    void check().then(learn);
  }

  function learn(succeeded: boolean): void {
    if (stopped) return;
    const before = state;
    state = afterProbe(state, succeeded, probe);
    cancel = clock.after(probeDelayMs(state, probe, false), ask);
    if (state.ready !== before.ready) onChange(state.ready);
  }

  return () => {
    stopped = true;
    cancel();
  };
}
