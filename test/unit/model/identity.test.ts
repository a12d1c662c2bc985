import { describe, expect, it } from '@jest/globals';
import { identityParts, parseSpiffeId, parseTrustDomain, spiffeId } from '../../../src/model/identity.ts';

describe('a SPIFFE identity', () => {
  const parts = {
    trustDomain: parseTrustDomain('cluster.local'),
    namespace: 'shop',
    serviceAccount: 'web.v1',
  };

  it('is written as Istio writes it, and read back', () => {
    const id = spiffeId(parts);
    expect(id).toBe('spiffe://cluster.local/ns/shop/sa/web.v1');
    expect(identityParts(id)).toEqual(parts);
  });

  it.each([
    ['another scheme', 'https://cluster.local/ns/a/sa/b'],
    ['a port', 'spiffe://cluster.local:80/ns/a/sa/b'],
    ['a user', 'spiffe://x@cluster.local/ns/a/sa/b'],
    ['upper case in the trust domain', 'spiffe://Cluster.local/ns/a/sa/b'],
    ['upper case in a name', 'spiffe://cluster.local/ns/A/sa/b'],
    ['an empty name', 'spiffe://cluster.local/ns//sa/b'],
    ['too many parts', 'spiffe://cluster.local/ns/a/sa/b/c'],
    ['a trailing slash', 'spiffe://cluster.local/ns/a/sa/b/'],
    ['dots that climb', 'spiffe://cluster.local/ns/../sa/b'],
    ['a query', 'spiffe://cluster.local/ns/a/sa/b?x'],
    ['percent encoding', 'spiffe://cluster.local/ns/a%2fb/sa/b'],
    ['a line break', 'spiffe://cluster.local/ns/a/sa/b\n'],
    ['more than 2048 characters', `spiffe://cluster.local/ns/a/sa/${'b'.repeat(2048)}`],
  ])('is refused with %s', (_, uri) => {
    expect(() => parseSpiffeId(uri)).toThrow(expect.objectContaining({ code: 'IDENTITY_INVALID' }));
  });

  it('shows only the beginning of a long malformed one', () => {
    expect(() => parseSpiffeId('x'.repeat(5000))).toThrow(
      expect.objectContaining({ message: expect.stringMatching(/^.{0,300}$/) }),
    );
  });

  it.each(['', 'UPPER', 'a b', 'a/b', 'x'.repeat(256)])('has no trust domain %p', (text) => {
    expect(() => parseTrustDomain(text)).toThrow(expect.objectContaining({ code: 'IDENTITY_INVALID' }));
  });
});
