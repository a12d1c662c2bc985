import { describe, expect, it } from '@jest/globals';
import { degradedPrograms } from '../../../../src/apps/node/observability.ts';
import { MeshError } from '../../../../src/base/errors.ts';

const failed = new MeshError('BPF_SELF_TEST', 'as it is', { hint: 'look' });
const unloaded = new MeshError('BPF_LOAD', 'as it is', { hint: 'look' });
const untried = new MeshError('BPF_UNTRIED', 'as it is', { hint: 'look' });

describe('the metric of BPF programs', () => {
  it.each([
    ['nothing while this version’s are in force and were tried', {}, { failed: 0, untried: 0 }],
    ['that those before stay in force after a failed test', { degraded: failed }, { failed: 1, untried: 0 }],
    ['the same of programs that do not load', { degraded: unloaded }, { failed: 1, untried: 0 }],
    ['that those before stay as none could be tried', { degraded: untried }, { failed: 0, untried: 1 }],
    ['that untried ones are in force', { untried }, { failed: 0, untried: 1 }],
  ])('says %s', (_, state, expected) => {
    const samples = degradedPrograms({ degraded: undefined, untried: undefined, ...state });
    expect(Object.fromEntries(samples.map(({ labels, value }) => [labels.reason, value]))).toEqual(expected);
  });
});
