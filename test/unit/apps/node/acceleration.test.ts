import { describe, expect, it } from '@jest/globals';
import { accelerationOf } from '../../../../src/apps/node/acceleration.ts';
import type { Acceleration } from '../../../../src/apps/config/values.ts';
import type { AccelerationTrial } from '../../../../src/datapath/acceleration/trial.ts';
import { FakeMaps } from '../../../../src/native/fake.ts';
import type { NativeBinding } from '../../../../src/native/binding.ts';

interface Told {
  readonly metrics: unknown[];
  readonly warnings: unknown[];
  trials: number;
}

async function decide(accelerate: Acceleration, result: Partial<AccelerationTrial> = {}): Promise<unknown> {
  const told: Told = { metrics: [], warnings: [], trials: 0 };
  const mode = await accelerationOf({
    config: { accelerate },
    native: new FakeMaps() as unknown as NativeBinding,
    objectPath: 'mesh.bpf.o',
    metrics: { count: (name, labels, by) => told.metrics.push([name, labels, by]) },
    log: { info: () => {}, warn: (fields: object) => told.warnings.push(fields) },
    trial: () => {
      told.trials += 1;
      return Promise.resolve({ fault: undefined, pairs: 24, spuriousWakeups: 3, ...result });
    },
  });
  return { mode, ...told };
}

describe('acceleration', () => {
  it('is off, and costs nothing, unless it is asked for', async () => {
    expect(await decide('off')).toEqual({ mode: {}, metrics: [], warnings: [], trials: 0 });
  });

  it.each(['auto', 'forced'] as const)('is %s where this kernel passed the trial', async (accelerate) => {
    expect(await decide(accelerate)).toEqual({
      mode: { accelerate },
      metrics: [
        ['mesh_acceleration_trials_total', { outcome: 'intact' }, undefined],
        ['mesh_acceleration_spurious_wakeups_total', {}, 3],
      ],
      warnings: [],
      trials: 1,
    });
  });

  it('stays off, and says why, where bytes were lost', async () => {
    expect(await decide('forced', { fault: 'bytes were lost' })).toMatchObject({
      mode: {},
      metrics: [['mesh_acceleration_trials_total', { outcome: 'damaged' }, undefined], expect.anything()],
      warnings: [{ reason: 'bytes were lost' }],
    });
  });
});
