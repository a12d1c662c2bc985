import { describe, expect, it } from '@jest/globals';
import {
  occasionalOccupancy,
  occupancyProblems,
  shareProblems,
} from '../../../../src/apps/node/map-occupancy.ts';
import { mapSpecs } from '../../../../src/datapath/maps.ts';
import type { EnrolledPod } from '../../../../src/datapath/pods.ts';
import { FakeClock } from '../../../support/fake-clock.ts';

const flows = (entries: number) => ({ map: mapSpecs.flows, entries, capacity: 1000 });

describe('the occupancy of the BPF maps', () => {
  it('is counted once for all who ask within half a minute', async () => {
    const clock = new FakeClock();
    let counts = 0;
    const read = occasionalOccupancy({ occupancy: () => [flows(++counts)] }, clock);
    expect([read(), read()]).toEqual([[flows(1)], [flows(1)]]);
    await clock.advance(29_999);
    expect(read()).toEqual([flows(1)]);
    await clock.advance(1);
    expect(read()).toEqual([flows(2)]);
  });

  it('is a problem from 80 % on, with what a full map stops and what to do', () => {
    expect(occupancyProblems([flows(799)])).toEqual([]);
    expect(occupancyProblems([flows(800), flows(0)])).toEqual([
      {
        code: 'BPF_MAP_FULL',
        subject: 'map flows',
        message:
          '800 of 1000 entries are in use (80%); when it is full, new captured connections are refused, and those between pods of this node',
        hint: 'mesh-ebpf maps dump flows shows what fills it; --max-flows of the node program gives it room',
        since: null,
      },
    ]);
  });
});

const has = (used: number) => ({ pod: { label: 'shop/web' } as EnrolledPod, used, share: 1000 });

describe('a pod’s share of the kernel path', () => {
  it('is a problem from 80 % on, which names the pod', () => {
    expect(shareProblems([has(799)])).toEqual([]);
    expect(shareProblems([has(800), has(0)])).toEqual([
      expect.objectContaining({
        code: 'BPF_MAP_FULL',
        subject: 'pod shop/web',
        message: expect.stringContaining('800 of 1000') as unknown,
      }),
    ]);
  });
});
