/** What each pod has of the `flows` map, counted from two sides: by the programs, and by the agent. */
import { beforeEach, describe, expect, it } from '@jest/globals';
import { silentLogger } from '../../../../src/base/log.ts';
import type { Share } from '../../../../src/datapath/abi/layout.ts';
import { defaultFlowShare, FlowShares } from '../../../../src/datapath/kernel-path/flow-shares.ts';

class FakeTable<V> extends Map<number, V> {
  override entries(): never {
    return [...super.entries()] as never;
  }
}

const most = 2 ** 32 - 1;
let kernel: FakeTable<Share>;
let settled: FakeTable<number>;
let shares: FlowShares;
beforeEach(() => {
  kernel = new FakeTable();
  settled = new FakeTable();
  shares = new FlowShares({ shares: kernel, settled, log: silentLogger });
  shares.add(7);
});

const counted = (published: number, withdrawn: number): unknown => kernel.set(7, { published, withdrawn });
const used = (): number | undefined => shares.used().get(7);
const walked =
  (count: number, meanwhile = (): unknown => undefined) =>
  (): Map<number, number> => {
    meanwhile();
    return new Map([[7, count]]);
  };

describe('what a pod has', () => {
  it('is what came, less what the programs and the agent removed', () => {
    counted(10, 4);
    shares.settle(7);
    expect(used()).toBe(5);
  });

  it('goes on beyond the largest number', () => {
    counted(3, most);
    expect(used()).toBe(4);
    settled.set(7, most);
    shares.settle(7);
    expect([settled.get(7), used()]).toEqual([0, 4]);
  });

  it('stays counted when the pod is enrolled once more', () => {
    counted(10, 4);
    shares.add(7);
    expect(used()).toBe(6);
  });

  it('is nobody’s when it has left', () => {
    shares.remove(7);
    shares.settle(7);
    expect([...kernel, ...settled]).toEqual([]);
  });

  it('goes with pods that nobody knows any more', () => {
    shares.add(8);
    shares.keepOnly(new Set([8]));
    expect([...kernel.keys(), ...settled.keys()]).toEqual([8, 8]);
  });
});

describe('a count over the map', () => {
  it('finds what an agent removed that died before it could say so', () => {
    counted(10, 4);
    shares.recount(walked(5));
    expect(used()).toBe(5);
  });

  it('finds what is not counted', () => {
    counted(10, 8);
    shares.settle(7);
    shares.recount(walked(3));
    expect(used()).toBe(3);
  });

  it('changes nothing for connections that come and go meanwhile', () => {
    counted(10, 4);
    shares.recount(walked(6, () => counted(11, 4)));
    shares.recount(walked(8, () => counted(12, 6)));
    expect([settled.get(7), used()]).toEqual([0, 6]);
  });

  it('is right to what came and went, for a pod that never rests', () => {
    counted(100, 0);
    shares.recount(walked(50, () => counted(110, 5)));
    expect(used()).toBe(50);
  });

  it('leaves a pod alone that came during it', () => {
    shares.recount(walked(0, () => shares.add(8)));
    expect(shares.used().get(8)).toBe(0);
  });
});

it('a share is a quarter of the map, and never nothing', () => {
  expect([65_536, 3].map(defaultFlowShare)).toEqual([16_384, 1]);
});
