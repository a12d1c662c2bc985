/** Codecs of C data: what is written is read back, and lies where C puts it. */
import { describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import { ipFromBytes } from '../../../src/base/ip.ts';
import {
  bits,
  choice,
  decode,
  encode,
  encodeAll,
  type Field,
  optionalAddress,
  text,
  u16,
  u32,
  u64,
  u8,
} from '../../../src/datapath/abi/field.ts';
import { struct } from '../../../src/datapath/abi/struct.ts';
import * as layout from '../../../src/datapath/abi/layout.ts';
import * as egressLayout from '../../../src/datapath/abi/egress-layout.ts';
import * as accelerationLayout from '../../../src/datapath/abi/acceleration-layout.ts';

const bytes16 = fc.uint8Array({ minLength: 16, maxLength: 16 });
const ip = fc.oneof(
  bytes16.map((bytes) => ipFromBytes(bytes)),
  bytes16.map((bytes) =>
    ipFromBytes(Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, ...bytes.slice(12))),
  ),
);
// An address field that may be absent cannot hold the unspecified address.
const optionalIp = fc.option(
  ip.filter((address) => address !== '::'),
  { nil: undefined },
);
const number16 = fc.integer({ min: 0, max: 0xffff });
const number32 = fc.integer({ min: 0, max: 0xffffffff });
const number64 = fc.bigInt({ min: 0n, max: 0xffffffffffffffffn });
const shortText = fc
  .string({ maxLength: 15, unit: 'grapheme' })
  .filter((s) => !s.includes('\0') && Buffer.byteLength(s) < 64);

const origin = fc.record({
  originalIp: optionalIp,
  podId: number32,
  originalPort: number16,
  kind: fc.constantFrom(...(Object.keys(layout.originKinds) as layout.OriginKind[])),
  drawn: fc.constantFrom(...(Object.keys(layout.drawnKinds) as layout.Drawn[])),
});

function expectRoundTrip<T>(field: Field<T>, values: fc.Arbitrary<T>): void {
  fc.assert(
    fc.property(values, (value) => {
      expect(decode(field, encode(field, value))).toEqual(value);
    }),
  );
}

describe('every struct of the ABI', () => {
  it('reads back what was written', () => {
    expectRoundTrip(layout.origin, origin);
    const stage = fc.constantFrom('new', 'admitted', 'asked');
    expectRoundTrip(
      layout.flow,
      fc.record({ socketCookie: number64, origin, openedAt: number64, stage, closed: fc.boolean() }),
    );
    expectRoundTrip(
      layout.verdictKey,
      fc.record({
        sourceIp: ip,
        destinationIp: ip,
        sourcePodId: number32,
        destinationPodId: number32,
        port: number16,
      }),
    );
    const end = fc.constantFrom('dialling', 'accepting');
    expectRoundTrip(accelerationLayout.endKey, fc.record({ connection: number64, end }));
    expectRoundTrip(
      accelerationLayout.stream,
      fc.record({
        connection: number64,
        end,
        stage: fc.constantFrom('new', 'redirected', 'tcp'),
        watched: fc.boolean(),
      }),
    );
    expectRoundTrip(
      accelerationLayout.accelerated,
      fc.record({
        bytesSent: number64,
        bytesReceived: number64,
        unanswered: fc.array(number32, { minLength: 2, maxLength: 2 }),
      }),
    );
    expectRoundTrip(layout.verdict, fc.record({ generation: number64 }));
    expectRoundTrip(
      layout.flowKey,
      fc.record({ sourceIp: ip, destinationIp: ip, sourcePort: number16, destinationPort: number16 }),
    );
    expectRoundTrip(
      layout.config,
      fc.record({
        nodeNetnsCookie: number64,
        ztunnelCgroupId: number64,
        drainedCgroupId: number64,
        flags: fc.record({
          captureUnknown: fc.boolean(),
          kernelPath: fc.boolean(),
          accelerate: fc.boolean(),
        }),
        abi: number32,
        verdictGeneration: number64,
        lastPodId: number32,
        flowShare: number32,
        flowLeast: number32,
        flowCommon: number32,
      }),
    );
    expectRoundTrip(
      layout.pod,
      fc.record({
        netnsInode: number64,
        id: number32,
        uid: shortText,
        label: shortText,
        ip4: optionalIp,
        ip6: optionalIp,
        egressSet: number64,
      }),
    );
    expectRoundTrip(
      egressLayout.egressKey,
      fc.record({ bits: fc.integer({ min: 0, max: 128 }), set: number64, base: ip }),
    );
    const range = fc.record({ first: number16, last: number16, protocol: fc.constantFrom('tcp', 'udp') });
    expectRoundTrip(
      egressLayout.egress,
      fc.record({ open: fc.array(range, { maxLength: egressLayout.maxPortRanges }) }),
    );
    expectRoundTrip(
      egressLayout.denial,
      fc.record({
        at: number64,
        ip,
        podId: number32,
        untold: number32,
        port: number16,
        protocol: fc.constantFrom('tcp', 'udp'),
      }),
    );
    expectRoundTrip(
      egressLayout.denialRate,
      fc.record({ windowStart: number64, told: number32, untold: number32 }),
    );
    expectRoundTrip(
      layout.destination,
      fc.record({
        flags: fc.record({
          workload: fc.boolean(),
          service: fc.boolean(),
          kernel: fc.boolean(),
          accelerate: fc.boolean(),
        }),
        label: shortText,
      }),
    );
  });
});

describe('a struct', () => {
  it('places its members by C’s rules of alignment', () => {
    const sample = struct<{ first: number; second: bigint; third: number; lastPort: number }>('sample', {
      first: u8,
      second: u64,
      third: u32,
      lastPort: u16,
    });
    expect(sample.members).toEqual([
      { name: 'first', offsetBytes: 0, sizeBytes: 1 },
      { name: 'second', offsetBytes: 8, sizeBytes: 8 },
      { name: 'third', offsetBytes: 16, sizeBytes: 4 },
      { name: 'last_port', offsetBytes: 20, sizeBytes: 2 },
    ]);
    expect(sample.sizeBytes).toBe(24);
  });

  it('leaves its padding zero, whatever was in the buffer', () => {
    const sample = struct<{ a: number; b: number }>('sample', { a: u8, b: u32 });
    const bytes = new Uint8Array(8).fill(0xff);
    sample.write(new DataView(bytes.buffer), 0, { a: 1, b: 2 });
    expect([...bytes]).toEqual([1, 0, 0, 0, 2, 0, 0, 0]);
  });
});

describe('text', () => {
  it('that is too long is cut, but not within a character', () => {
    expect(decode(text(8), encode(text(8), 'abcdefghij'))).toBe('abcdefg');
    expect(decode(text(8), encode(text(8), 'abcdefäö'))).toBe('abcdef');
  });

  it('of a label is cut the same way by fitLabel', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 100, unit: 'grapheme' }), (label) => {
        const kept = {
          flags: { workload: true, service: false, kernel: false, accelerate: false },
          label: layout.fitLabel(label),
        };
        expect(decode(layout.destination, encode(layout.destination, kept))).toEqual(kept);
      }),
    );
  });
});

describe('a field', () => {
  it('of named flags ignores bits that have no name', () => {
    const flags = bits(u32, { on: 1, off: 4 });
    expect(decode(flags, encode(u32, 0b1011))).toEqual({ on: true, off: false });
  });

  it('of named values refuses a value that has no name', () => {
    const kinds = choice(u8, { one: 1 });
    expect(() => decode(kinds, Uint8Array.of(2))).toThrow(expect.objectContaining({ code: 'ABI_MISMATCH' }));
  });

  it('refuses bytes of another size', () => {
    expect(() => decode(u32, new Uint8Array(3))).toThrow(expect.objectContaining({ code: 'ABI_MISMATCH' }));
  });

  it('for an address may be empty', () => {
    expect(decode(optionalAddress, new Uint8Array(16))).toBeUndefined();
    expect([...encode(optionalAddress, undefined)]).toEqual(Array(16).fill(0));
  });

  it('is encoded many times in a row for the batch calls', () => {
    expect(encodeAll(u16, [1, 2])).toEqual(new Uint8Array([...encode(u16, 1), ...encode(u16, 2)]));
  });
});
