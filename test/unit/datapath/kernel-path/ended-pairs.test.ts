/** Which pair a record is of, told by its bytes: the same as by its text, though hashes meet. */
import { expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import { parseIp } from '../../../../src/base/ip.ts';
import { encodeAll, viewOf } from '../../../../src/datapath/abi/field.ts';
import { type Ended, ended } from '../../../../src/datapath/abi/layout.ts';
import { EndedPairs } from '../../../../src/datapath/kernel-path/ended-pairs.ts';
import { endedRecord } from '../../../support/ended-batch.ts';

const textOf = ({ sourcePodId, flow, originalIp, originalPort }: Ended): string =>
  [sourcePodId, flow.sourceIp, flow.destinationIp, flow.destinationPort, originalIp, originalPort].join(' ');

const pairsOf = (records: readonly Ended[], hash?: () => number): readonly (readonly string[])[] => {
  const pairs = new EndedPairs<string[]>(viewOf(encodeAll(ended, records)), () => [], hash);
  records.forEach((record, i) => pairs.of(i * ended.sizeBytes).push(textOf(record)));
  return pairs.all();
};

const ip = fc.constantFrom('10.0.0.1', '10.0.0.2', '10.1.0.0', 'fd00::1', 'fd00::2').map(parseIp);
const record = fc
  .record({
    sourcePodId: fc.nat(2),
    sourceIp: ip,
    destinationIp: ip,
    destinationPort: fc.constantFrom(1, 256, 257),
    originalIp: fc.option(ip, { nil: undefined }),
    originalPort: fc.constantFrom(1, 256),
    sourcePort: fc.nat(65_535),
  })
  .map(({ sourcePodId, originalIp, originalPort, ...flow }) =>
    endedRecord(0, { sourcePodId, originalIp, originalPort, flow }),
  );

it('records are of one pair where only the source’s port differs', () => {
  const records = fc.array(record, { maxLength: 60 });
  const hashes = fc.constantFrom(undefined, () => 0);
  fc.assert(
    fc.property(records, hashes, (given, hash) => {
      const expected = [...Map.groupBy(given.map(textOf), (text) => text).values()];
      expect(pairsOf(given, hash)).toEqual(expected);
    }),
  );
});
