import { describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import { crc32 } from 'node:zlib';
import { parseIp, type Port } from '../../../../src/base/ip.ts';
import type { ConnectionRecord } from '../../../../src/model/connection.ts';
import { policyKey } from '../../../../src/model/policy.ts';
import type { KeptRecord } from '../../../../src/telemetry/connection-registry.ts';
import { FlightReader, headerLine, pairLine, RecordWriter } from '../../../../src/telemetry/flight/format.ts';
import { PairTable } from '../../../../src/telemetry/flight/pairs.ts';
import { cart, failure, peer, record, web } from '../records.ts';

const linesOf = (kept: readonly KeptRecord[]): readonly string[] => {
  const writer = new RecordWriter();
  const text = headerLine('node-a') + kept.map((each) => writer.lines(each)).join('');
  return text.trimEnd().split('\n');
};

const read = (lines: readonly string[], pods = [cart, web]): FlightReader => {
  const reader = new FlightReader('node-a', (uid) => pods.find((pod) => pod.uid === uid));
  lines.forEach((line) => reader.push(line));
  return reader;
};

const stories: readonly Partial<ConnectionRecord>[] = [
  {},
  {
    error: failure('POLICY_DENIED', 'policy'),
    verdict: { allowed: false, policy: undefined, reason: 'no rule' },
  },
  {
    direction: 'inbound',
    verdict: {
      allowed: true,
      policy: policyKey('shop', 'db'),
      reason: 'rule 1 matches',
      audit: policyKey('shop', 'audit'),
      dryRun: { allowed: false, policy: policyKey('shop', 'rehearsed'), reason: 'rule 2 matches' },
    },
  },
  {
    source: peer('[fd00::9]:1', undefined, false),
    hboneAddress: undefined,
    service: undefined,
    traceId: undefined,
  },
  {
    // As the kernel tells of what it refused: before there was a port.
    source: { ...peer('[fd00::9]:1', cart, false), address: { ip: parseIp('fd00::9'), port: 0 as Port } },
    verdict: undefined,
    transport: 'udp',
    error: { code: 'POLICY_DENIED', hop: 'policy', message: 'x', hint: undefined },
  },
  { path: 'kernel', kernel: { rttMs: 0.05, retransmits: 2 }, accelerated: true, connections: 9900 },
  { path: 'kernel', kernel: { rttMs: undefined, retransmits: 0 } },
];

const signed = (value: unknown): string => {
  const json = JSON.stringify(value) ?? '';
  return `${crc32(json).toString(16).padStart(8, '0')} ${json}`;
};

describe('the flight record', () => {
  it('is read as what was written', () => {
    const kept = stories.map((extra, i) => ({ sequence: i + 7, record: record(extra) }));
    const reader = read(linesOf(kept));
    expect(reader.records).toEqual(kept);
    expect([reader.isOwn, reader.damaged]).toEqual([true, 0]);
  });

  it('names a pod once, and knows it though it is gone', () => {
    const lines = linesOf([
      { sequence: 1, record: record() },
      { sequence: 2, record: record() },
    ]);
    expect(lines).toHaveLength(1 + 2 + 2);
    const [first, second] = read(lines, []).records;
    expect(first?.record.source.workload).toMatchObject({
      uid: cart.uid,
      namespace: 'shop',
      name: 'cart-1',
      owner: cart.owner,
      identity: cart.identity,
    });
    expect(second?.record.source.workload).toBe(first?.record.source.workload);
  });

  it('has pairs as well', () => {
    const table = new PairTable();
    table.completed(record({ direction: 'inbound' }));
    const reader = read([pairLine(table.all()[0] as never).trimEnd()]);
    expect(reader.pairs).toEqual(table.all());
  });

  it('loses the line that was cut off, and no other', () => {
    const lines = linesOf([
      { sequence: 1, record: record() },
      { sequence: 2, record: record() },
    ]);
    const torn = [...lines.slice(0, -1), String(lines.at(-1)).slice(0, 100)];
    const reader = read(torn);
    expect([reader.records.length, reader.damaged]).toEqual([1, 1]);
  });

  it('of another node or version is not taken for one’s own', () => {
    expect(read([headerLine('node-b').trimEnd()]).isOwn).toBe(false);
    const json = '{"type":"header","format":"mesh-ebpf flight record","version":99,"node":"node-a"}';
    expect(read([`${crc32(json).toString(16).padStart(8, '0')} ${json}`])).toMatchObject({
      isOwn: false,
      damaged: 1,
    });
  });

  it('survives anything, counted, even with right checksums', () => {
    const anything = fc.oneof(
      fc.string(),
      fc.string().map((text) => signed(text)),
      fc.json().map((text) => signed(JSON.parse(text))),
    );
    fc.assert(
      fc.property(fc.array(anything, { maxLength: 5 }), (lines) => {
        const reader = read(lines);
        expect([reader.records.length, reader.damaged]).toEqual([0, lines.length]);
      }),
    );
  });

  it('takes no field that is not as it was written', () => {
    const [, , , line = ''] = linesOf([{ sequence: 1, record: record() }]);
    const good = JSON.parse(line.slice(9)) as Record<string, unknown>;
    expect(read([signed(good)]).records).toHaveLength(1);
    fc.assert(
      fc.property(fc.constantFrom(...Object.keys(good)), fc.json(), (key, text) => {
        const changed: unknown = JSON.parse(text);
        const reader = read([signed({ ...good, [key]: changed })]);
        const [found] = reader.records;
        if (found === undefined) expect(reader.damaged).toBe(1);
        // Whatever is taken can be written again.
        else new RecordWriter().lines(found);
      }),
    );
  });
});
