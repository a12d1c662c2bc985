import { describe, expect, it } from '@jest/globals';
import { huffmanDecode } from '../../../../../src/net/h2/hpack/huffman.ts';

/** Codes picked from RFC 7541 Appendix B, short and long: symbol, code as bits. */
const codes: readonly (readonly [symbol: number, code: string])[] = [
  [0x30, '00000'], // '0'
  [0x74, '01001'], // 't'
  [0x20, '010100'], // ' '
  [0x3a, '1011100'], // ':'
  [0x58, '11111100'], // 'X'
  [0x21, '1111111000'], // '!'
  [0x7c, '11111111100'], // '|'
  [0x23, '111111111010'], // '#'
  [0x00, '1111111111000'],
  [0x5e, '11111111111100'], // '^'
  [0x3c, '111111111111100'], // '<'
  [0x5c, '1111111111111110000'], // '\'
  [0x80, '11111111111111100110'],
  [0x99, '111111111111111011100'],
  [0x81, '1111111111111111010010'],
  [0x01, '11111111111111111011000'],
  [0x09, '111111111111111111101010'],
  [0xc7, '1111111111111111111101100'],
  [0xc0, '11111111111111111111100000'],
  [0xcb, '111111111111111111111011110'],
  [0x02, '1111111111111111111111100010'],
  [0x0a, '111111111111111111111111111100'],
  [0x16, '111111111111111111111111111110'],
];

/** The bits as bytes, padded with ones as §5.2 says. */
function pack(bits: string): Buffer {
  const padded = bits.padEnd(Math.ceil(bits.length / 8) * 8, '1');
  return Buffer.from((padded.match(/.{8}/g) ?? []).map((byte) => Number.parseInt(byte, 2)));
}

describe('Huffman decoding', () => {
  it.each(codes)('knows the code of symbol %i', (symbol, code) => {
    expect(huffmanDecode(pack(code))).toBe(String.fromCharCode(symbol));
  });

  it('decodes symbols that begin anywhere in a byte', () => {
    const bits = codes.map(([, code]) => code).join('');
    expect(huffmanDecode(pack(bits))).toBe(String.fromCharCode(...codes.map(([symbol]) => symbol)));
  });

  it('decodes nothing to nothing', () => {
    expect(huffmanDecode(Buffer.alloc(0))).toBe('');
  });
});
