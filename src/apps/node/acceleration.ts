/** Whether connections on the kernel path are accelerated: what the configuration says, if this kernel is up to it. */
import type { Logger } from '../../base/log.ts';
import { type AccelerationTrial, tryAcceleration } from '../../datapath/acceleration/trial.ts';
import type { KernelPathScope } from '../../datapath/desired.ts';
import type { NativeBinding } from '../../native/binding.ts';
import type { Metrics } from '../../telemetry/metrics.ts';
import type { NodeConfig } from '../config/node-config.ts';

export interface AccelerationDeps {
  readonly config: Pick<NodeConfig, 'accelerate'>;
  readonly native: NativeBinding;
  readonly objectPath: string;
  readonly metrics: Pick<Metrics, 'count'>;
  readonly log: Pick<Logger, 'info' | 'warn'>;
  /** How it is found out; for tests. */
  readonly trial?: typeof tryAcceleration;
}

/** Tried at every start, for the kernel may be another one. */
export async function accelerationOf(deps: AccelerationDeps): Promise<Pick<KernelPathScope, 'accelerate'>> {
  const { config, native, objectPath, metrics, log, trial = tryAcceleration } = deps;
  if (config.accelerate === 'off') return {};
  const result = await trial(native, objectPath);
  report(result, metrics);
  const { fault, pairs, spuriousWakeups } = result;
  if (fault !== undefined) {
    log.warn(
      { reason: fault, hint: 'see: mesh-ebpf doctor' },
      'connections are not accelerated, whatever --accelerate says: this kernel failed the trial',
    );
    return {};
  }
  log.info(
    { accelerate: config.accelerate, pairs, spuriousWakeups },
    'connections on the kernel path are accelerated',
  );
  return { accelerate: config.accelerate };
}

function report({ fault, spuriousWakeups }: AccelerationTrial, metrics: Pick<Metrics, 'count'>): void {
  metrics.count('mesh_acceleration_trials_total', { outcome: fault === undefined ? 'intact' : 'damaged' });
  metrics.count('mesh_acceleration_spurious_wakeups_total', {}, spuriousWakeups);
}
