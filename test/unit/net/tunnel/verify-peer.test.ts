import { describe, expect, it } from '@jest/globals';
import { MeshError } from '../../../../src/base/errors.ts';
import { parseSpiffeId, parseTrustDomain } from '../../../../src/model/identity.ts';
import { verifyPeer, type PeerExpectation } from '../../../../src/net/tunnel/verify-peer.ts';
import { createTestCa, leafBytes, type LeafOptions } from '../../../support/test-ca.ts';

const web = parseSpiffeId('spiffe://cluster.local/ns/shop/sa/web');
const db = parseSpiffeId('spiffe://cluster.local/ns/shop/sa/db');
const expected: PeerExpectation = {
  trustDomain: parseTrustDomain('cluster.local'),
  identities: [web],
  peer: '10.0.0.2:15008',
  now: Date.now(),
};
const ca = await createTestCa();

async function outcome(
  leaf: LeafOptions,
  expectation: Partial<PeerExpectation> = {},
  chainError?: string,
): Promise<string> {
  const presented = { leaf: leafBytes(await ca.issue(leaf)), chainError };
  try {
    return verifyPeer(presented, { ...expected, ...expectation });
  } catch (error) {
    return error instanceof MeshError ? error.code : String(error);
  }
}

describe('verifying a peer', () => {
  it('takes a certificate with the expected identity', async () => {
    expect(await outcome({ uris: [web] })).toBe(web);
  });

  it('takes any identity of the trust domain when none in particular is expected', async () => {
    expect(await outcome({ uris: [db] }, { identities: undefined })).toBe(db);
  });

  it('takes one of several expected identities', async () => {
    expect(await outcome({ uris: [db] }, { identities: [web, db] })).toBe(db);
  });

  it('ignores names that are not URIs', async () => {
    expect(await outcome({ uris: [web], dns: ['web.shop'] })).toBe(web);
  });

  it('refuses another identity', async () => {
    expect(await outcome({ uris: [db] })).toBe('PEER_IDENTITY');
  });

  it('refuses everybody when nobody is expected', async () => {
    expect(await outcome({ uris: [web] }, { identities: [] })).toBe('PEER_IDENTITY');
  });

  it('refuses another trust domain, even where the identity is listed', async () => {
    const foreign = parseSpiffeId('spiffe://other.mesh/ns/shop/sa/web');
    expect(await outcome({ uris: [foreign] }, { identities: [foreign] })).toBe('TRUST_DOMAIN');
  });

  it.each([
    ['no URI name', []],
    ['two URI names', [web, db]],
    ['the same URI name twice', [web, web]],
    ['a URI that is no SPIFFE ID', ['https://example.com/']],
    ['a SPIFFE ID that is not a workload’s', ['spiffe://cluster.local/ns/shop']],
    ['a URI that hides a second name behind quotes', [`${web}", URI:"spiffe://cluster.local/ns/shop/sa/db`]],
  ])('refuses a certificate with %s', async (_what, uris) => {
    expect(await outcome({ uris })).toBe('CERTIFICATE_INVALID');
  });

  it('refuses a DNS name that looks like an identity', async () => {
    expect(await outcome({ uris: [], dns: [`URI:${web}`] })).toBe('CERTIFICATE_INVALID');
  });

  it('refuses an expired certificate', async () => {
    const notAfter = new Date(expected.now - 1000);
    expect(await outcome({ uris: [web], notBefore: new Date(0), notAfter })).toBe('CERTIFICATE_INVALID');
  });

  it('refuses a certificate that is not valid yet', async () => {
    expect(await outcome({ uris: [web], notBefore: new Date(Date.now() + 600_000) })).toBe(
      'CERTIFICATE_INVALID',
    );
  });

  it('refuses a chain that OpenSSL refused', async () => {
    expect(await outcome({ uris: [web] }, {}, 'SELF_SIGNED_CERT_IN_CHAIN')).toBe('CERTIFICATE_INVALID');
  });

  it.each([
    ['a certificate that is not valid yet', 600_000, undefined],
    ['an authority that is not valid yet', -600_000, 'CERT_NOT_YET_VALID'],
    ['an authority that has expired', -600_000, 'CERT_HAS_EXPIRED'],
  ])('asks about the clocks, and tells its own, when it refuses %s', async (_what, startMs, chainError) => {
    const leaf = leafBytes(await ca.issue({ uris: [web], notBefore: new Date(expected.now + startMs) }));
    expect(() => verifyPeer({ leaf, chainError }, expected)).toThrow(
      expect.objectContaining({
        message: expect.stringContaining(
          `by the clock of this node it is ${new Date(expected.now).toISOString()}`,
        ),
        hint: expect.stringContaining('clocks of both nodes'),
      }),
    );
  });

  it('refuses an authority’s certificate used as a leaf', async () => {
    expect(await outcome({ uris: [web], isCa: true })).toBe('CERTIFICATE_INVALID');
  });

  it('refuses a peer without a certificate', () => {
    expect(() => verifyPeer({ leaf: undefined, chainError: undefined }, expected)).toThrow(
      'presented no certificate',
    );
  });

  it('refuses bytes that are no certificate', () => {
    const garbage = { leaf: Uint8Array.of(0x30, 0x82, 0xff, 0xff, 1, 2, 3), chainError: undefined };
    expect(() => verifyPeer(garbage, expected)).toThrow('cannot be parsed');
  });
});
