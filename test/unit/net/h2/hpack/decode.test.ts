/** The examples of RFC 7541 Appendix C, in order: each group is one connection. */
import { describe, expect, it } from '@jest/globals';
import type { HeaderList } from '../../../../../src/net/h2/contract.ts';
import { H2Violation } from '../../../../../src/net/h2/errors.ts';
import { HpackDecoder } from '../../../../../src/net/h2/hpack/decode.ts';

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');
const plenty = 1 << 16;

const get = (...rest: (readonly [string, string])[]): HeaderList => [
  [':method', 'GET'],
  [':scheme', 'http'],
  [':path', '/'],
  [':authority', 'www.example.com'],
  ...rest,
];
const customRequest: HeaderList = [
  [':method', 'GET'],
  [':scheme', 'https'],
  [':path', '/index.html'],
  [':authority', 'www.example.com'],
  ['custom-key', 'custom-value'],
];
const response = (status: string, date: string, ...rest: (readonly [string, string])[]): HeaderList => [
  [':status', status],
  ['cache-control', 'private'],
  ['date', date],
  ['location', 'https://www.example.com'],
  ...rest,
];
const cookie = 'foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1';

describe('the examples of RFC 7541 Appendix C.2', () => {
  it.each<readonly [string, string, HeaderList]>([
    [
      'C.2.1 literal with indexing',
      '400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572',
      [['custom-key', 'custom-header']],
    ],
    ['C.2.2 literal without indexing', '040c 2f73 616d 706c 652f 7061 7468', [[':path', '/sample/path']]],
    ['C.2.3 literal never indexed', '1008 7061 7373 776f 7264 0673 6563 7265 74', [['password', 'secret']]],
    ['C.2.4 indexed', '82', [[':method', 'GET']]],
  ])('%s', (_name, bytes, fields) => {
    expect(new HpackDecoder().decode(hex(bytes), plenty)).toEqual(fields);
  });
});

describe('the examples of RFC 7541 Appendix C.3 to C.4', () => {
  it.each<readonly [string, readonly string[]]>([
    [
      'C.3 requests without Huffman coding',
      [
        '8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d',
        '8286 84be 5808 6e6f 2d63 6163 6865',
        '8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65',
      ],
    ],
    [
      'C.4 requests with Huffman coding',
      [
        '8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff',
        '8286 84be 5886 a8eb 1064 9cbf',
        '8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf',
      ],
    ],
  ])('%s', (_name, blocks) => {
    const decoder = new HpackDecoder();
    expect(blocks.map((block) => decoder.decode(hex(block), plenty))).toEqual([
      get(),
      get(['cache-control', 'no-cache']),
      customRequest,
    ]);
  });
});

describe('the examples of RFC 7541 Appendix C.5 to C.6, whose table of 256 bytes evicts', () => {
  /** The examples assume SETTINGS_HEADER_TABLE_SIZE 256; a size update says the same. */
  const limitTo256 = '3fe101';

  it.each<readonly [string, readonly string[]]>([
    [
      'C.5 responses without Huffman coding',
      [
        '4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d',
        '4803 3330 37c1 c0bf',
        '88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31',
      ],
    ],
    [
      'C.6 responses with Huffman coding',
      [
        '4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3',
        '4883 640e ffc1 c0bf',
        '88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07',
      ],
    ],
  ])('%s', (_name, blocks) => {
    const decoder = new HpackDecoder();
    const decoded = blocks.map((block, i) =>
      decoder.decode(hex((i === 0 ? limitTo256 : '') + block), plenty),
    );
    expect(decoded).toEqual([
      response('302', 'Mon, 21 Oct 2013 20:13:21 GMT'),
      [
        [':status', '307'],
        ['cache-control', 'private'],
        ['date', 'Mon, 21 Oct 2013 20:13:21 GMT'],
        ['location', 'https://www.example.com'],
      ],
      [
        [':status', '200'],
        ['cache-control', 'private'],
        ['date', 'Mon, 21 Oct 2013 20:13:22 GMT'],
        ['location', 'https://www.example.com'],
        ['content-encoding', 'gzip'],
        ['set-cookie', cookie],
      ],
    ]);
  });
});

describe('a header block nobody should send', () => {
  it.each([
    ['index 0', '80'],
    ['an index beyond both tables', 'be'],
    ['a literal name at an index beyond both tables', '7f 00 01 61'],
    ['a field that breaks off', '40'],
    ['a name that breaks off', '40 05 61'],
    ['a value that breaks off', '40 01 61 05 62'],
    ['an integer that never ends', 'ff ff ff ff ff ff ff ff'],
    ['an integer that breaks off', '7f ff'],
    ['a size update above 4096', '3f e2 1f'],
    ['three size updates', '20 20 20 82'],
    ['a size update between fields', '82 20'],
    ['Huffman padding of eight ones', '00 82 1f ff 01 61'],
    ['Huffman padding of zeros', '00 81 18 01 61'],
    ['EOS inside a Huffman string', '00 84 ff ff ff ff 01 61'],
  ])('is refused with COMPRESSION_ERROR: %s', (_what, bytes) => {
    const decode = (): unknown => new HpackDecoder().decode(hex(bytes), plenty);
    expect(decode).toThrow(H2Violation);
    expect(decode).toThrow(/COMPRESSION_ERROR/);
  });
});

describe('limits of the decoder', () => {
  it('drops a list that is too large, and goes on with its table intact', () => {
    const decoder = new HpackDecoder();
    const insert = Buffer.concat([hex('4003616263'), Buffer.of(100), Buffer.alloc(100, 0x78)]);
    const bomb = Buffer.concat([insert, Buffer.alloc(5000, 0xbe)]);
    expect(decoder.decode(bomb, 16_384)).toBeUndefined();
    expect(decoder.decode(Buffer.of(0xbe), 16_384)).toEqual([['abc', 'x'.repeat(100)]]);
  });

  it('takes a list of exactly the limit: names, values and 32 bytes a field', () => {
    const bytes = hex('00 01 61 01 62');
    expect(new HpackDecoder().decode(bytes, 34)).toEqual([['a', 'b']]);
    expect(new HpackDecoder().decode(bytes, 33)).toBeUndefined();
  });

  it('empties its table for a field that is larger than the table', () => {
    const decoder = new HpackDecoder();
    decoder.decode(hex('4001610162'), plenty);
    const huge = Buffer.concat([hex('4001617f 81 1f'), Buffer.alloc(4096, 0x78)]);
    decoder.decode(huge, plenty);
    expect(() => decoder.decode(Buffer.of(0xbe), plenty)).toThrow(/COMPRESSION_ERROR/);
  });

  it('forgets what a size update of 0 evicts', () => {
    const decoder = new HpackDecoder();
    decoder.decode(hex('4001610162'), plenty);
    expect(() => decoder.decode(hex('20 be'), plenty)).toThrow(/COMPRESSION_ERROR/);
  });
});
