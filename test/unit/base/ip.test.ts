import { describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import {
  formatSocketAddress,
  type IpAddress,
  ipFromBytes,
  ipToBytes,
  ipv4FromWord,
  ipv4Word,
  isLoopback,
  parseIp,
  parsePort,
  parsePrefix,
  parseSocketAddress,
  prefixContains,
  tryParseIp,
} from '../../../src/base/ip.ts';

const ipv4 = fc.ipV4().map(parseIp);
const ipv6 = fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => ipFromBytes(bytes));
const anyIp = fc.oneof(ipv4, ipv6, fc.ipV6().map(parseIp));

/** The address as a number of 128 bits: an independent reading of the bytes. */
const asNumber = (ip: IpAddress): bigint => BigInt(`0x${Buffer.from(ipToBytes(ip)).toString('hex')}`);

describe('parsing an IP address', () => {
  it.each([
    ['octal-looking octets', '010.0.0.1'],
    ['short forms', '10.1'],
    ['a zone', 'fe80::1%eth0'],
    ['spaces', ' 10.0.0.1'],
    ['an octet over 255', '10.0.0.256'],
    ['two ::', '1::2::3'],
    ['a prefix length', '10.0.0.0/8'],
    ['brackets', '[::1]'],
    ['nothing', ''],
  ])('rejects %s', (_, text) => {
    expect(tryParseIp(text)).toBeUndefined();
    expect(() => parseIp(text)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
  });

  it.each([
    ['2001:DB8:0:0:0:0:0:1', '2001:db8::1'],
    ['::FFFF:10.0.0.1', '10.0.0.1'],
    ['::ffff:a00:1', '10.0.0.1'],
    ['0:0:0:0:0:0:0:0', '::'],
    ['10.0.0.1', '10.0.0.1'],
  ])('writes %s as %s', (text, canonical) => {
    expect(parseIp(text)).toBe(canonical);
  });

  it('gives every address one text', () => {
    fc.assert(
      fc.property(anyIp, (ip) => {
        expect(parseIp(ip)).toBe(ip);
      }),
    );
  });
});

describe('an IP address as 16 bytes', () => {
  it('is the same address when read back', () => {
    fc.assert(
      fc.property(anyIp, (ip) => {
        expect(ipFromBytes(ipToBytes(ip))).toBe(ip);
      }),
    );
  });

  it('gives the same bytes for whatever 16 bytes it was read from', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (bytes) => {
        expect(ipToBytes(ipFromBytes(bytes))).toEqual(bytes);
      }),
    );
  });

  it('is read at an offset', () => {
    const bytes = new Uint8Array(20);
    bytes.set(ipToBytes(parseIp('10.1.2.3')), 4);
    expect(ipFromBytes(bytes, 4)).toBe('10.1.2.3');
  });

  it('holds IPv4 as IPv4-mapped IPv6', () => {
    expect(Buffer.from(ipToBytes(parseIp('10.1.2.3'))).toString('hex')).toBe(
      '00000000000000000000ffff0a010203',
    );
  });
});

describe('a prefix', () => {
  const prefix = anyIp.chain((base) =>
    fc.integer({ min: 0, max: base.includes(':') ? 128 : 32 }).map((length) => ({ base, length })),
  );

  it('contains exactly the addresses of its family whose first bits are its own', () => {
    // Addresses near the prefix, or hardly any would be inside.
    const nearby = prefix.chain(({ base, length }) =>
      fc.tuple(fc.nat({ max: 127 }), anyIp).map(([bit, other]) => {
        const bytes = ipToBytes(base);
        bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        return { base, length, candidates: [ipFromBytes(bytes), base, other] };
      }),
    );
    fc.assert(
      fc.property(nearby, ({ base, length, candidates }) => {
        const width = base.includes(':') ? 128n : 32n;
        const shift = width - BigInt(length);
        for (const ip of candidates) {
          const sameFamily = base.includes(':') === ip.includes(':');
          const inside = sameFamily && asNumber(base) >> shift === asNumber(ip) >> shift;
          expect(prefixContains({ base, length }, ip)).toBe(inside);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('is read from its text', () => {
    expect(parsePrefix('10.0.0.0/8')).toEqual({ base: '10.0.0.0', length: 8 });
    expect(parsePrefix('fd00::/8')).toEqual({ base: 'fd00::', length: 8 });
    expect(parsePrefix('10.0.0.1')).toEqual({ base: '10.0.0.1', length: 32 });
    expect(parsePrefix('::1')).toEqual({ base: '::1', length: 128 });
  });

  it.each(['10.0.0.0/33', '::/129', '10.0.0.0/', '10.0.0.0/8/8', '10.0.0.0/-1', '10.0.0.0/0x8', 'x/8'])(
    'is not read from %s',
    (text) => {
      expect(() => parsePrefix(text)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
    },
  );
});

describe('a port', () => {
  it.each([0, 65536, 1.5, -1, Number.NaN, '', '0', '65536', '80 ', '+80', '1e3', '0x50'])(
    'is not %p',
    (value) => {
      expect(() => parsePort(value)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
    },
  );

  it.each([
    [1, 1],
    ['65535', 65535],
    ['80', 80],
  ])('is read from %p', (value, port) => {
    expect(parsePort(value)).toBe(port);
  });
});

describe('an address with a port', () => {
  it('reads back what it writes', () => {
    const address = fc.record({
      ip: anyIp,
      port: fc.integer({ min: 1, max: 65535 }).map((port) => parsePort(port)),
    });
    fc.assert(
      fc.property(address, (given) => {
        expect(parseSocketAddress(formatSocketAddress(given))).toEqual(given);
      }),
    );
  });

  it.each([
    '10.0.0.1',
    '::1:80',
    '[10.0.0.1]:80',
    '[::1]',
    '10.0.0.1:0',
    'web:80',
    '10.0.0.1:80:80',
    ':80',
    '[]:80',
  ])('is not read from %s', (text) => {
    expect(() => parseSocketAddress(text)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
  });
});

it('knows loopback addresses of both families', () => {
  expect(
    ['127.0.0.1', '127.255.0.9', '::1', '::ffff:127.0.0.1'].map((ip) => isLoopback(parseIp(ip))),
  ).toEqual([true, true, true, true]);
  expect(['128.0.0.1', '::2', '0.0.0.0'].map((ip) => isLoopback(parseIp(ip)))).toEqual([false, false, false]);
});

describe('an IPv4 address as a number', () => {
  it.each(['0.0.0.0', '10.244.1.7', '127.0.0.1', '192.168.0.250', '255.255.255.255'])(
    '%s and back',
    (text) => {
      const ip = parseIp(text);
      expect(ipv4FromWord(ipv4Word(ip))).toBe(ip);
      const bytes = ipToBytes(ip);
      expect(ipv4Word(ip)).toBe(new DataView(bytes.buffer).getInt32(12));
    },
  );
});
