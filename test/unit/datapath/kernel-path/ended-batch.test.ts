/** Connections that ended, as they are read: what a record says, and that those of a pair add up to what each one says. */
import { describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import { parseIp } from '../../../../src/base/ip.ts';
import type { Ended } from '../../../../src/datapath/abi/layout.ts';
import type { EndedConnection } from '../../../../src/datapath/kernel-path/ended-batch.ts';
import type { WorkloadUid } from '../../../../src/model/mesh.ts';
import { endedBatch, endedRecord, type EndedSpec } from '../../../support/ended-batch.ts';
import { at } from '../../../support/mesh-builder.ts';

const many = (count: number, spec: (i: number) => EndedSpec = () => ({})): Ended[] =>
  Array.from({ length: count }, (_, i) => endedRecord(i, spec(i)));

const uidOf = (podId: number): WorkloadUid => `pod-${podId}` as WorkloadUid;

describe('a connection that ended', () => {
  it('is told with what the kernel says of it', () => {
    const dialled = { originalIp: parseIp('10.96.0.1'), originalPort: 8080 };
    const batch = endedBatch([endedRecord(5, { ...dialled, accelerated: true })], { uidOf });
    expect([...batch]).toEqual([
      {
        source: at('10.0.0.1:30005'),
        destination: at('10.0.0.2:80'),
        dialled: at('10.96.0.1:8080'),
        sourceUid: 'pod-1',
        cookie: 5n,
        ageMs: 1,
        durationMs: 1,
        bytesSent: 10,
        bytesReceived: 20,
        rttMs: 0.05,
        retransmits: 1,
        accelerated: true,
        connections: 1,
      },
    ]);
  });

  it('has no bytes of its SYN and FIN, whoever closed, and never less than none', () => {
    const states = [1, 4, 5, 6, 7, 8, 9, 11];
    const told = [...endedBatch(states.map((lastState) => endedRecord(0, { lastState })))];
    expect(told.map(({ bytesSent, bytesReceived }) => [bytesSent, bytesReceived])).toEqual([
      [11, 21],
      [11, 21],
      [10, 20],
      [10, 20],
      [11, 21],
      [11, 20],
      [10, 20],
      [11, 20],
    ]);
    const [silent] = endedBatch([endedRecord(0, { bytesAcked: 0, bytesReceived: 0, srttUs: 0 })]);
    expect(silent).toMatchObject({ bytesSent: 0, bytesReceived: 0, rttMs: undefined });
  });

  it('may have lived, and sent, beyond what fits in 32 bits; and no clock makes it younger than new', () => {
    const day = 86_400e9;
    const [long] = endedBatch([endedRecord(0, { openedAt: day, endedAt: 4 * day, bytesAcked: 2 ** 40 })], {
      nowNs: 5 * day,
    });
    expect(long).toMatchObject({ durationMs: (3 * day) / 1e6, ageMs: day / 1e6, bytesSent: 2 ** 40 - 2 });
    const [early] = endedBatch([endedRecord(0, { openedAt: 3_000_000 })], { nowNs: 1_000_000 });
    expect(early).toMatchObject({ durationMs: 0, ageMs: 0 });
  });
});

describe('connections of a pair', () => {
  it('are one beyond the first ones: the sums of all, the longest of times, and the last one’s port', () => {
    const records = many(1000, (i) => ({
      endedAt: i === 500 ? 71_000_000 : 3_000_000,
      srttUs: i === 600 ? 0 : i * 8,
      accelerated: i === 700,
    }));
    const told = endedBatch(records, { uidOf, nowNs: 103_000_000 }).told(25);
    expect(told.map(({ connections }) => connections)).toEqual([...Array<number>(25).fill(1), 975]);
    expect(told.at(-1)).toEqual({
      source: at('10.0.0.1:30999'),
      destination: at('10.0.0.2:80'),
      dialled: undefined,
      sourceUid: 'pod-1',
      cookie: 999n,
      ageMs: 100,
      durationMs: 70,
      bytesSent: 9750,
      bytesReceived: 19_500,
      rttMs: 0.999,
      retransmits: 975,
      accelerated: true,
      connections: 975,
    });
  });

  it('are of the same pod and addresses, and dialled the same', () => {
    const others: readonly EndedSpec[] = [
      { sourcePodId: 2 },
      { flow: { sourceIp: parseIp('10.0.0.9') } },
      { flow: { destinationPort: 81 } },
      { flow: { destinationIp: parseIp('10.0.0.3') } },
      { originalIp: parseIp('10.96.0.1'), originalPort: 80 },
      { originalIp: parseIp('10.96.0.1'), originalPort: 81 },
      { flow: { sourceIp: parseIp('fd00::1'), destinationIp: parseIp('fd00::2') } },
    ];
    const records = [...many(200), ...others.map((spec, i) => endedRecord(i, spec)), ...many(200)];
    const told = endedBatch(records).told(0);
    expect(told.map(({ connections }) => connections)).toEqual([400, 1, 1, 1, 1, 1, 1, 1]);
  });

  it('do not have those in it that are told apart, nor do these take another’s place', () => {
    const told = endedBatch(many(10)).told(2, (cookie) => cookie === 0n || cookie === 7n);
    expect(told.map(({ cookie, connections }) => [cookie, connections])).toEqual([
      [0n, 1],
      [1n, 1],
      [2n, 1],
      [7n, 1],
      [9n, 6],
    ]);
  });

  it('add up to what each of them says, however many are told one by one', () => {
    const spec = fc.record({
      sourcePodId: fc.integer({ min: 1, max: 3 }),
      flow: fc.record({ destinationPort: fc.integer({ min: 1, max: 3 }) }),
      openedAt: fc.nat(4_000_000),
      endedAt: fc.nat(4_000_000),
      bytesAcked: fc.nat(2 ** 40),
      bytesReceived: fc.nat(2 ** 40),
      srttUs: fc.nat(3),
      retransmits: fc.nat(3),
      lastState: fc.integer({ min: 1, max: 12 }),
      accelerated: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(spec), fc.nat(10), (specs, oneByOne) => {
        const batch = endedBatch(
          specs.map((one, i) => endedRecord(i, one)),
          { uidOf },
        );
        const each = [...batch];
        expect(batch.told(oneByOne)).toEqual([...each.slice(0, oneByOne), ...addedUp(each.slice(oneByOne))]);
      }),
    );
  });
});

/** The same in a few words, and without haste. */
function addedUp(connections: readonly EndedConnection[]): readonly EndedConnection[] {
  const pairs = Map.groupBy(connections, ({ sourceUid, destination }) => `${sourceUid} ${destination.port}`);
  return [...pairs.values()].map((pair) => {
    const sum = (of: (one: EndedConnection) => number): number =>
      pair.reduce((total, one) => total + of(one), 0);
    const most = (of: (one: EndedConnection) => number): number => Math.max(...pair.map(of));
    const last = pair.at(-1);
    if (last === undefined) throw new Error('a pair of none');
    return {
      ...last,
      durationMs: most(({ durationMs }) => durationMs),
      bytesSent: sum(({ bytesSent }) => bytesSent),
      bytesReceived: sum(({ bytesReceived }) => bytesReceived),
      rttMs: most(({ rttMs }) => rttMs ?? 0) || undefined,
      retransmits: sum(({ retransmits }) => retransmits),
      accelerated: pair.some(({ accelerated }) => accelerated),
      connections: pair.length,
    };
  });
}
