import { describe, expect, it } from '@jest/globals';
import { checkRequest, checkResponse, checkTrailers } from '../../../../src/net/h2/fields.ts';
import { connectFields } from './support/wire.ts';

const checkName = (name: string): string | undefined => checkTrailers([[name, 'v']]);

describe('header fields that are fine', () => {
  it.each<readonly [string, readonly (readonly [string, string])[]]>([
    [
      'CONNECT as ztunnel sends it',
      [...connectFields, ['baggage', 'a=b'], ['forwarded', 'for="10.0.0.1:5"']],
    ],
    ['CONNECT with an empty value and a tab inside one', [...connectFields, ['a', ''], ['b', 'x\ty']]],
    ['several fields of one name', [...connectFields, ['baggage', 'a=b'], ['baggage', 'c=d']]],
    ['octets that are no ASCII, as UTF-8 has them at the end of à', [...connectFields, ['x', '\xc3\xa0']]],
    ['te: trailers', [...connectFields, ['te', 'trailers']]],
    [
      'GET, which the owner refuses with a status',
      [
        [':method', 'GET'],
        [':scheme', 'https'],
        [':path', '/'],
      ],
    ],
  ])('%s', (_what, fields) => {
    expect(checkRequest(fields)).toBeUndefined();
  });

  it('responses and trailers', () => {
    expect(
      checkResponse([
        [':status', '503'],
        ['content-length', '0'],
      ]),
    ).toBeUndefined();
    expect(checkTrailers([['grpc-status', '0']])).toBeUndefined();
  });
});

describe('a field name', () => {
  it('may have every character RFC 9113 leaves it, and no other', () => {
    for (let code = 0; code < 256; code++) {
      const character = String.fromCharCode(code);
      const legal = code > 0x20 && code < 0x7f && character !== ':' && !/[A-Z]/.test(character);
      expect([character, checkName(`x${character}y`) === undefined]).toEqual([character, legal]);
    }
  });
});
