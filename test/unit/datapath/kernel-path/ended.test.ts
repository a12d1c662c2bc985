/** How the ring of ended connections is read: ten times a second, without a rest while it holds more than is read at once. */
import { describe, expect, it } from '@jest/globals';
import { encode, encodeAll } from '../../../../src/datapath/abi/field.ts';
import { ended } from '../../../../src/datapath/abi/layout.ts';
import { followEnded } from '../../../../src/datapath/kernel-path/ended.ts';
import type { EndedBatch } from '../../../../src/datapath/kernel-path/ended-batch.ts';
import type { OnRecords } from '../../../../src/native/binding.ts';
import { endedRecord } from '../../../support/ended-batch.ts';

const record = encode(ended, endedRecord(7));

function following() {
  const did: string[] = [];
  let heard: OnRecords | undefined;
  let wake: (() => void) | undefined;
  const deliver = (count: number): void =>
    heard?.(
      new Uint8Array(Buffer.concat(Array<Uint8Array>(count).fill(record))),
      Uint32Array.from({ length: count }, (_, i) => (i + 1) * record.length),
    );
  const stop = followEnded(
    {
      ring: {
        start: (given) => void (heard = given),
        pause: () => void did.push('pause'),
        resume: () => void did.push('resume'),
        drain: () => deliver(1),
        close: () => void did.push('close'),
      },
      uidOf: () => undefined,
      monotonicNs: () => 5_000_000n,
      clock: {
        after(ms, callback) {
          did.push(`rest ${ms}`);
          wake = callback;
          return () => void did.push('no rest');
        },
      },
    },
    (batch) => void did.push(`heard ${batch.size}`),
  );
  return { did, stop, wake: () => wake?.(), deliver };
}

describe('the ring of ended connections', () => {
  it('is left alone for a tenth of a second after each look', () => {
    const { did, deliver, wake } = following();
    deliver(2);
    expect(did).toEqual(['pause', 'rest 100', 'heard 2']);
    wake();
    expect(did.at(-1)).toBe('resume');
  });

  it('is looked at again at once where there was more than it is read at once', () => {
    const { did, deliver } = following();
    deliver(1024);
    expect(did).toEqual(['heard 1024']);
    deliver(1023);
    expect(did.slice(1)).toEqual(['pause', 'rest 100', 'heard 1023']);
  });

  it('is read to its end before it is closed', () => {
    const { did, stop } = following();
    stop();
    expect(did).toEqual(['pause', 'rest 100', 'heard 1', 'no rest', 'close']);
  });
});

describe('ends of which two versions of the programs tell', () => {
  it('are those of both, each once, and those that can be read', () => {
    const batches: EndedBatch[] = [];
    const rings: OnRecords[] = [];
    const ring = { start: (given: OnRecords) => void rings.push(given) };
    const told = new Set<bigint>();
    followEnded(
      {
        ring: { ...ring, pause() {}, resume() {}, drain() {}, close() {} },
        // Cookies in two bytes; 0 stands for what cannot be read.
        earlierRings: [{ ring, read: ([cookie = 0]) => (cookie === 0 ? undefined : endedRecord(cookie)) }],
        isTold: (cookie) => told.size === told.add(cookie).size,
        uidOf: () => undefined,
        monotonicNs: () => 5_000_000n,
        clock: { after: () => () => {} },
      },
      (batch) => void batches.push(batch),
    );
    const [ours, theirs] = rings;
    theirs?.(Uint8Array.of(1, 9, 0, 9, 2, 9), Uint32Array.of(2, 4, 6));
    ours?.(
      encodeAll(
        ended,
        [2, 3, 3].map((cookie) => endedRecord(cookie)),
      ),
      Uint32Array.from([1, 2, 3], (count) => count * ended.sizeBytes),
    );
    expect(batches.map((batch) => [...batch].map(({ cookie }) => cookie))).toEqual([[1n, 2n], [3n]]);
  });

  it('are refused where a record is not as long as the programs’', () => {
    let deliver: OnRecords | undefined;
    followEnded(
      {
        ring: { start: (given) => void (deliver = given), pause() {}, resume() {}, drain() {}, close() {} },
        uidOf: () => undefined,
        monotonicNs: () => 0n,
        clock: { after: () => () => {} },
      },
      () => {},
    );
    expect(() => deliver?.(new Uint8Array(8), Uint32Array.of(8))).toThrow('8 bytes where 112 were expected');
  });
});
