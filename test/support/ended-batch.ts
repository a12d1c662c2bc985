/** Ends of kernel-path connections as the programs tell of them, and batches of these. */
import { parseIp } from '../../src/base/ip.ts';
import { encodeAll, viewOf } from '../../src/datapath/abi/field.ts';
import { type Ended, ended } from '../../src/datapath/abi/layout.ts';
import { EndedBatch, type EndedContext } from '../../src/datapath/kernel-path/ended-batch.ts';

/** The i-th connection of a pair: 1 ms long, and over 1 ms before the clock shows 3 ms. */
export const endedRecord = (i: number, { flow, ...extra }: EndedSpec = {}): Ended => ({
  openedAt: 1_000_000,
  endedAt: 2_000_000,
  socketCookie: BigInt(i),
  flow: {
    sourceIp: parseIp('10.0.0.1'),
    sourcePort: 30_000 + i,
    destinationIp: parseIp('10.0.0.2'),
    destinationPort: 80,
    ...flow,
  },
  sourcePodId: 1,
  bytesAcked: 12,
  bytesReceived: 21,
  srttUs: 400,
  retransmits: 1,
  originalIp: undefined,
  originalPort: 0,
  lastState: 6,
  accelerated: false,
  ...extra,
});

export type EndedSpec = Partial<Omit<Ended, 'flow'>> & { readonly flow?: Partial<Ended['flow']> };

export const endedBatch = (
  records: readonly Ended[],
  { nowNs = 3_000_000, uidOf = () => undefined }: Partial<EndedContext> = {},
): EndedBatch =>
  new EndedBatch(
    viewOf(encodeAll(ended, records)),
    records.map((_, i) => i * ended.sizeBytes),
    { nowNs, uidOf },
  );
