/** Connections that end in a storm: which are told of by themselves, and that nothing of the others is lost. */
import { describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import type { EndedConnection } from '../../../src/datapath/kernel-path/ended.ts';
import type { WorkloadUid } from '../../../src/model/mesh.ts';
import { EndedStorm, type ToldConnection } from '../../../src/ztunnel/ended-storm.ts';
import { at } from '../../support/mesh-builder.ts';

const ended = (i: number, extra: Partial<EndedConnection> = {}): EndedConnection => ({
  source: at(`10.0.0.1:${30_000 + i}`),
  destination: at('10.0.0.2:80'),
  dialled: undefined,
  sourceUid: 'web' as WorkloadUid,
  cookie: BigInt(i),
  ageMs: 100 - i / 100,
  durationMs: 2,
  bytesSent: 10,
  bytesReceived: 20,
  rttMs: 0.05,
  retransmits: 1,
  accelerated: false,
  ...extra,
});

const many = (
  count: number,
  extra: (i: number) => Partial<EndedConnection> = () => ({}),
): EndedConnection[] => Array.from({ length: count }, (_, i) => ended(i, extra(i)));

const total = (told: readonly ToldConnection[]): number =>
  told.reduce((sum, { connections }) => sum + connections, 0);

function storm() {
  let now = 1_000_000;
  const folding = new EndedStorm({ now: () => now });
  return {
    fold: (connections: readonly EndedConnection[]): readonly ToldConnection[] => {
      const told: ToldConnection[] = [];
      folding.fold(connections, (one) => told.push(one));
      return told;
    },
    pass: (ms: number) => void (now += ms),
  };
}

describe('connections that end', () => {
  it('are told one by one where they are few', () => {
    expect(
      storm()
        .fold(many(25))
        .map(({ cookie, connections }) => [cookie, connections]),
    ).toEqual(many(25).map(({ cookie }) => [cookie, 1]));
  });

  it('are told together beyond twenty-five, with the sums of all, the longest of times and the last one’s port', () => {
    const told = storm().fold(
      many(1000, (i) => ({
        durationMs: i === 500 ? 70 : 2,
        rttMs: i === 600 ? undefined : i / 1000,
        accelerated: i === 700,
      })),
    );
    expect(told).toHaveLength(26);
    expect(told.at(-1)).toEqual({
      ...ended(999),
      connections: 975,
      durationMs: 70,
      bytesSent: 9750,
      bytesReceived: 19_500,
      rttMs: 0.999,
      retransmits: 975,
      accelerated: true,
    });
  });

  it('are told together by pair, port and what was dialled, so that a quiet pair’s has its own record', () => {
    const kinds: readonly Partial<EndedConnection>[] = [
      { sourceUid: 'batch' as WorkloadUid },
      { source: at('10.0.0.9:1') },
      { destination: at('10.0.0.2:81') },
      { destination: at('10.0.0.3:80') },
      { dialled: at('10.96.0.1:80') },
      { dialled: at('10.96.0.1:81') },
    ];
    const told = storm().fold([...many(200), ...kinds.map((kind, i) => ended(i, kind)), ...many(200)]);
    expect(told.slice(25).map(({ connections }) => connections)).toEqual([375, 1, 1, 1, 1, 1, 1]);
  });

  it('are few again after a tenth of a second', () => {
    const { fold, pass } = storm();
    fold(many(24));
    expect(fold(many(3)).map(({ connections }) => connections)).toEqual([1, 2]);
    pass(100);
    expect(fold(many(3)).map(({ connections }) => connections)).toEqual([1, 1, 1]);
  });

  it('are told of although the clock was set back', () => {
    const { fold, pass } = storm();
    fold(many(60));
    pass(-3_600_000);
    expect(fold(many(3))).toHaveLength(3);
  });

  it('are each counted once, with all their bytes, whatever comes in which order', () => {
    const one = fc.record({
      port: fc.integer({ min: 1, max: 3 }),
      bytes: fc.integer({ min: 0, max: 1e6 }),
      rttMs: fc.option(fc.integer({ min: 0, max: 9 }), { nil: undefined }),
    });
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.integer({ min: 0, max: 120 }), fc.array(one))), (deliveries) => {
        const { fold, pass } = storm();
        let [connections, bytes, toldConnections, toldBytes] = [0, 0, 0, 0];
        for (const [afterMs, given] of deliveries) {
          pass(afterMs);
          const told = fold(
            given.map(({ port, bytes: bytesSent, rttMs }, i) =>
              ended(i, { destination: at(`10.0.0.2:${port}`), bytesSent, rttMs }),
            ),
          );
          connections += given.length;
          bytes += given.reduce((sum, item) => sum + item.bytes, 0);
          toldConnections += total(told);
          toldBytes += told.reduce((sum, { bytesSent }) => sum + bytesSent, 0);
        }
        expect([toldConnections, toldBytes]).toEqual([connections, bytes]);
      }),
    );
  });
});
