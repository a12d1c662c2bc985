/** What is read as a flight record: true ones, damaged in every way, and lines that are only nearly right. */
import { crc32 } from 'node:zlib';
import { policyKey } from '../../../src/model/policy.ts';
import { headerLine, pairLine, RecordWriter } from '../../../src/telemetry/flight/format.ts';
import { PairTable } from '../../../src/telemetry/flight/pairs.ts';
import { cart, failure, peer, record, web } from '../../unit/telemetry/records.ts';
import type { Random } from '../random.ts';

export const node = 'node-a';
export const pods = [cart, web];

const stories = [
  record(),
  record({
    error: failure('POLICY_DENIED', 'policy'),
    verdict: { allowed: false, policy: undefined, reason: 'x' },
  }),
  record({
    direction: 'inbound',
    verdict: {
      allowed: true,
      policy: policyKey('shop', 'db'),
      reason: 'rule 1 matches',
      audit: policyKey('shop', 'audit'),
      dryRun: { allowed: false, policy: policyKey('shop', 'dry'), reason: 'naïve — ü' },
    },
  }),
  record({ source: peer('[fd00::9]:1', undefined, false), transport: 'udp', hboneAddress: undefined }),
];

function trueLines(): readonly string[] {
  const table = new PairTable();
  stories.forEach((each) => table.completed({ ...each, direction: 'inbound' }));
  const writer = new RecordWriter();
  const records = stories.map((each, i) => writer.lines({ sequence: i + 1, record: each }));
  const text = [headerLine(node), ...records, ...table.all().map(pairLine)].join('');
  return text.trimEnd().split('\n');
}

const lines = trueLines();
export const trueFile = Buffer.from(`${lines.join('\n')}\n`);
const values = lines.map((line) => JSON.parse(line.slice(9)) as Record<string, unknown>);

/** Of the right form, and with the right checksum: what is in it has still to be looked at. */
export const signed = (json: string): string => `${crc32(json).toString(16).padStart(8, '0')} ${json}`;

const oddities: readonly unknown[] = [
  null,
  true,
  -1,
  0,
  1e308,
  1.5,
  '',
  '*',
  'c-zzzzzzzzzzzz',
  '10.0.0.1',
  '10.0.0.1:0',
  '10.0.0.1:99999',
  '010.0.0.1:1',
  '[::]:80',
  ':0',
  'spiffe://',
  'spiffe://a/ns//sa/',
  '\u0000',
  '\u{1F600}',
  [],
  {},
  { allowed: true },
  { __proto__: 1, constructor: 1 },
  'x'.repeat(5000),
];

export function plausible(random: Random): Buffer {
  const count = 1 + random.below(6);
  const made = Array.from({ length: count }, () => plausibleLine(random));
  return Buffer.from(made.join('\n'));
}

function plausibleLine(random: Random): string {
  const value = structuredClone(random.pick(values));
  for (let i = random.below(3); i > 0; i--) spoil(value, random);
  return signed(JSON.stringify(value));
}

function spoil(value: Record<string, unknown>, random: Random): void {
  const keys = Object.keys(value);
  if (keys.length === 0) return;
  const key = random.pick(keys);
  const inner = value[key];
  if (typeof inner === 'object' && inner !== null && random.below(2) === 0) {
    return spoil(inner as Record<string, unknown>, random);
  }
  if (random.below(4) === 0) delete value[key];
  // A copy: it may be spoilt, too.
  else value[key] = structuredClone(random.pick(oddities));
}

export const random = (source: Random): Buffer => source.bytes(source.below(600));

type Mutation = (bytes: Buffer, source: Random) => Buffer;

const mutations: readonly Mutation[] = [
  (bytes, source) => changed(bytes, source, (byte) => byte ^ (1 << source.below(8))),
  (bytes, source) =>
    changed(bytes, source, () => source.pick([0, 10, 13, 32, 34, 92, 123, 0x80, 0xef, 0xff])),
  (bytes, source) => bytes.subarray(0, source.below(bytes.length + 1)),
  (bytes, source) => bytes.subarray(source.below(bytes.length + 1)),
  (bytes, source) => {
    const [from, to] = range(bytes, source);
    return Buffer.concat([bytes.subarray(0, from), bytes.subarray(to)]);
  },
  (bytes, source) => {
    const [from, to] = range(bytes, source);
    return Buffer.concat([bytes.subarray(0, to), bytes.subarray(from)]);
  },
  (bytes, source) => {
    const [from] = range(bytes, source);
    return Buffer.concat([bytes.subarray(0, from), source.bytes(source.below(20)), bytes.subarray(from)]);
  },
];

export function mutated(source: Random): Buffer {
  let bytes: Buffer = Buffer.from(trueFile);
  for (let i = 1 + source.below(3); i > 0; i--) bytes = source.pick(mutations)(bytes, source);
  return bytes;
}

function changed(bytes: Buffer, source: Random, to: (byte: number) => number): Buffer {
  if (bytes.length === 0) return bytes;
  const copy = Buffer.from(bytes);
  const at = source.below(copy.length);
  copy[at] = to(copy[at] ?? 0);
  return copy;
}

function range(bytes: Buffer, source: Random): readonly [number, number] {
  const [a, b] = [source.below(bytes.length + 1), source.below(bytes.length + 1)];
  return a < b ? [a, b] : [b, a];
}
