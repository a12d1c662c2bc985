/** What each pod has of the `flows` map, counted from two sides: by the programs, and by the agent. */
import { beforeEach, describe, expect, it } from '@jest/globals';
import { silentLogger } from '../../../../src/base/log.ts';
import { nodeShare, type Share } from '../../../../src/datapath/abi/layout.ts';
import { flowLimits, FlowShares } from '../../../../src/datapath/kernel-path/flow-shares.ts';

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
  shares = new FlowShares({
    shares: kernel,
    settled,
    limits: flowLimits({ flows: 64, pods: 8 }),
    log: silentLogger,
  });
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
    expect([...kernel.keys(), ...settled.keys()]).toEqual([nodeShare, nodeShare]);
  });

  it('goes with pods that nobody knows any more', () => {
    shares.add(8);
    shares.keepOnly(new Set([8]));
    expect([...kernel.keys(), ...settled.keys()]).toEqual([nodeShare, 8, nodeShare, 8]);
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

const whileThereAre = (all: number): number => shares.shareWhile(new Map([[nodeShare, all]]));

/** Pods that take all they get, one after another, and how many each gets. */
const greedy = (pods: number, share?: number, room = { flows: 64, pods: 8 }): number[] => {
  const limits = flowLimits(room, share);
  shares = new FlowShares({ shares: kernel, settled, limits, log: silentLogger });
  const counts: number[] = [];
  for (let all = 0; counts.length < pods;) {
    let own = 0;
    for (; own < whileThereAre(all); own++) all++;
    counts.push(own);
  }
  return counts;
};

describe('what a pod may have', () => {
  it('is its share, if it is alone', () => {
    expect([greedy(1), greedy(1, 40), greedy(1, 3)]).toEqual([[16], [40], [3]]);
  });

  it('is less for each further one, and never less than the least', () => {
    expect(greedy(8)).toEqual([16, 11, 7, 5, 3, 2, 2, 2]);
  });

  it('is not all there is, however many they are and whatever each may have', () => {
    const room = { flows: 65_536, pods: 256 };
    for (const share of [undefined, 10_000, 60_000, 65_536]) {
      const taken = greedy(room.pods, share, room).reduce((sum, count) => sum + count, 0);
      expect(taken).toBeLessThanOrEqual(room.flows);
    }
  });

  it('is the least while others than pods have all the room', () => {
    expect([-1, 0, 16, 34, 48, 70].map(whileThereAre)).toEqual([16, 16, 16, 7, 2, 2]);
  });
});

it('a removed record is missing from all there are, too', () => {
  kernel.set(nodeShare, { published: 10, withdrawn: 4 });
  shares.settle(7);
  expect(shares.used().get(nodeShare)).toBe(5);
});

it.each([
  [65_536, 1024, undefined, { share: 16_384, least: 16, common: 49_152 }],
  [65_536, 1024, 100, { share: 100, least: 16, common: 49_152 }],
  [3, 4, undefined, { share: 1, least: 1, common: 1 }],
])('of %i records and %i pods a quarter is kept for who has few', (flows, pods, share, limits) => {
  expect(flowLimits({ flows, pods }, share)).toEqual(limits);
});
