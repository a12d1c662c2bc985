/** Connections that end in a storm: which are told of by themselves, and that nothing of the others is lost. */
import { describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import type { Ended } from '../../../src/datapath/abi/layout.ts';
import type { EndedConnection } from '../../../src/datapath/kernel-path/ended-batch.ts';
import { EndedStorm } from '../../../src/ztunnel/ended-storm.ts';
import { endedBatch, endedRecord } from '../../support/ended-batch.ts';

const many = (count: number): Ended[] => Array.from({ length: count }, (_, i) => endedRecord(i));

const counts = (told: readonly EndedConnection[]): readonly number[] =>
  told.map(({ connections }) => connections);

const sum = (numbers: readonly number[]): number => numbers.reduce((total, each) => total + each, 0);

function storm() {
  let now = 1_000_000;
  const storms = new EndedStorm({ now: () => now });
  return {
    tell: (records: readonly Ended[], isApart?: (cookie: bigint) => boolean): readonly EndedConnection[] =>
      storms.told(endedBatch(records), isApart),
    pass: (ms: number) => void (now += ms),
  };
}

describe('connections that end', () => {
  it('are told one by one where they are few', () => {
    const told = storm().tell(many(25));
    expect(told.map(({ cookie, connections }) => [cookie, connections])).toEqual(
      many(25).map(({ socketCookie }) => [socketCookie, 1]),
    );
  });

  it('are told together beyond twenty-five, by pair', () => {
    const quiet = endedRecord(0, { flow: { destinationPort: 81 } });
    const told = storm().tell([...many(200), quiet, ...many(200)]);
    expect(counts(told)).toEqual([...Array<number>(25).fill(1), 375, 1]);
  });

  it('are told by themselves whatever storm there is, if they are apart', () => {
    const told = storm().tell(many(200), (cookie) => cookie >= 190n);
    expect(counts(told)).toEqual([...Array<number>(35).fill(1), 165]);
  });

  it('are few again after a tenth of a second', () => {
    const { tell, pass } = storm();
    tell(many(24));
    expect(counts(tell(many(3)))).toEqual([1, 2]);
    pass(100);
    expect(counts(tell(many(3)))).toEqual([1, 1, 1]);
  });

  it('are told of although the clock was set back', () => {
    const { tell, pass } = storm();
    tell(many(60));
    pass(-3_600_000);
    expect(tell(many(3))).toHaveLength(3);
  });

  it('are each counted once, with all their bytes, whatever comes in which order', () => {
    const one = fc.record({ port: fc.integer({ min: 1, max: 3 }), bytes: fc.nat(1e6) });
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.integer({ min: 0, max: 120 }), fc.array(one))), (deliveries) => {
        const { tell, pass } = storm();
        const told = deliveries.flatMap(([afterMs, given]) => {
          pass(afterMs);
          return tell(
            given.map(({ port, bytes }, i) =>
              endedRecord(i, { flow: { destinationPort: port }, bytesAcked: bytes + 2 }),
            ),
          );
        });
        const all = deliveries.flatMap(([, given]) => given);
        expect(sum(counts(told))).toBe(all.length);
        expect(sum(told.map(({ bytesSent }) => bytesSent))).toBe(sum(all.map(({ bytes }) => bytes)));
      }),
    );
  });
});
