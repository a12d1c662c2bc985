/** The kernel's verdicts, and what becomes of them when they cannot be taken back the usual way. */
import { beforeEach, describe, expect, it } from '@jest/globals';
import { MeshError } from '../../../../src/base/errors.ts';
import { parseIp } from '../../../../src/base/ip.ts';
import { silentLogger } from '../../../../src/base/log.ts';
import type { KernelVerdict, VerdictKey } from '../../../../src/datapath/abi/layout.ts';
import { VerdictCache } from '../../../../src/datapath/kernel-path/verdict-cache.ts';

const key: VerdictKey = {
  sourceIp: parseIp('10.0.0.1'),
  destinationIp: parseIp('10.0.0.2'),
  sourcePodId: 1,
  destinationPodId: 2,
  port: 80,
};

let kept: [VerdictKey, KernelVerdict][];
let generation: bigint;
let inKernel: bigint;
let isBroken: boolean;
let cache: VerdictCache;
beforeEach(() => {
  kept = [];
  [generation, inKernel, isBroken] = [1n, 1n, false];
  cache = new VerdictCache({
    verdicts: {
      set: (at, verdict) => void kept.push([at, verdict]),
      entries: () => [...kept],
      deleteAll: () => void (kept = []),
    },
    config: {
      get verdictGeneration() {
        return generation;
      },
      nextVerdictGeneration() {
        generation += 1n;
        if (isBroken) throw new MeshError('BPF_MAP', 'no');
        inKernel = generation;
      },
    },
    log: silentLogger,
  });
});

const isAllowed = (): boolean => kept.some(([, verdict]) => verdict.generation === inKernel);

describe('a verdict', () => {
  it('is in force until it is taken back', () => {
    cache.allow(key, cache.generation);
    expect(isAllowed()).toBe(true);
    cache.invalidate();
    expect(isAllowed()).toBe(false);
  });

  it('that was made of an older mesh is not kept', () => {
    const { generation: before } = cache;
    cache.invalidate();
    cache.allow(key, before);
    expect(kept).toEqual([]);
  });

  it('is not kept any more once the map is about to be closed', () => {
    cache.close();
    cache.allow(key, cache.generation);
    expect(kept).toEqual([]);
  });
});

describe('when the generation cannot be written', () => {
  beforeEach(() => {
    cache.allow(key, cache.generation);
    isBroken = true;
    cache.invalidate();
  });

  it('verdicts are removed instead, and new ones do not count', () => {
    expect(kept).toEqual([]);
    cache.allow(key, cache.generation);
    expect(isAllowed()).toBe(false);
  });

  it('it is written at the next opportunity', () => {
    isBroken = false;
    cache.catchUp();
    expect(inKernel).toBe(generation);
    cache.allow(key, cache.generation);
    expect(isAllowed()).toBe(true);
  });
});
