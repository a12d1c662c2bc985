/** How the ring of ended connections is read: seldom where little happens, without a rest where much does. */
import { describe, expect, it } from '@jest/globals';
import { encode } from '../../../../src/datapath/abi/field.ts';
import { ended } from '../../../../src/datapath/abi/layout.ts';
import { followEnded } from '../../../../src/datapath/kernel-path/ended.ts';
import type { OnRecords } from '../../../../src/native/binding.ts';
import { parseIp } from '../../../../src/base/ip.ts';

const record = encode(ended, {
  openedAt: 1_000_000n,
  endedAt: 3_000_000n,
  socketCookie: 7n,
  flow: {
    sourceIp: parseIp('10.0.0.1'),
    sourcePort: 4001,
    destinationIp: parseIp('10.0.0.2'),
    destinationPort: 80,
  },
  sourcePodId: 3,
  bytesAcked: 11n,
  bytesReceived: 21n,
  srttUs: 400,
  retransmits: 0,
  originalIp: undefined,
  originalPort: 0,
  lastState: 6,
  accelerated: true,
});

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
    (connections) => void did.push(`heard ${[...connections].length}`),
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

  it('is looked at again at once where there was much', () => {
    const { did, deliver } = following();
    deliver(1000);
    expect(did).toEqual(['heard 1000']);
  });

  it('is read to its end before it is closed', () => {
    const { did, stop } = following();
    stop();
    expect(did).toEqual(['pause', 'rest 100', 'heard 1', 'no rest', 'close']);
  });
});
