import { describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import { HpackDecoder } from '../../../../../src/net/h2/hpack/decode.ts';
import { hpackEncode } from '../../../../../src/net/h2/hpack/encode.ts';

describe('the HPACK encoder', () => {
  it('sends a status that the static table has as one byte', () => {
    expect(hpackEncode([[':status', '200']], false)).toEqual(Buffer.of(0x88));
    expect(hpackEncode([[':status', '400']], false)).toEqual(Buffer.of(0x8c));
  });

  it('names a known field by its index and never asks the peer to remember a value', () => {
    const block = hpackEncode([[':status', '401']], false);
    expect(block).toEqual(Buffer.concat([Buffer.of(0x08, 3), Buffer.from('401')]));
  });

  it('gives up the dynamic table at the start of the connection', () => {
    expect(hpackEncode([[':status', '200']], true)).toEqual(Buffer.of(0x20, 0x88));
  });

  it('is understood by the decoder, whatever the fields', () => {
    const text = fc.string({ unit: fc.nat(255).map((code) => String.fromCharCode(code)), maxLength: 400 });
    const names = fc.oneof(text, fc.constantFrom(':method', ':status', ':path', 'age', 'baggage'));
    const values = fc.oneof(text, fc.constantFrom('GET', '200', '/', 'CONNECT'));
    fc.assert(
      fc.property(fc.array(fc.tuple(names, values), { maxLength: 8 }), fc.boolean(), (fields, first) => {
        expect(new HpackDecoder().decode(hpackEncode(fields, first), 1 << 20)).toEqual(fields);
      }),
    );
  });
});
