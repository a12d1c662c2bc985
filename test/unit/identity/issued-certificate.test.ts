import 'reflect-metadata';
import { createPrivateKey, KeyObject } from 'node:crypto';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { PublicKey } from '@peculiar/x509';
import * as fc from 'fast-check';
import { MeshError } from '../../../src/base/errors.ts';
import { makeIntermediate, makeLeaf, makeRoot, type Signer } from '../../../src/controller/ca/issue.ts';
import { verifyIssued } from '../../../src/identity/issued-certificate.ts';
import { generateKeyPair, type KeyPair } from '../../../src/identity/key-pair.ts';
import { createTestCa } from '../../support/test-ca.ts';
import { hourMs, idOf, trustDomain } from './support/fake-ca.ts';

const now = Date.UTC(2026, 5, 1);
const minuteMs = 60_000;
const web = idOf('web');

let root: Signer;
let intermediate: Signer;
let keys: KeyPair;
let publicKey: PublicKey;

beforeAll(async () => {
  const years = { notBefore: now - 9_000 * hourMs, notAfter: now + 9_000 * hourMs };
  root = await makeRoot(trustDomain, years);
  intermediate = await makeIntermediate(trustDomain, root, years);
  keys = await generateKeyPair();
  publicKey = await PublicKey.create(keys.publicKey);
});

const leafFor = (identity = web, notBefore = now - minuteMs, notAfter = now + hourMs): Promise<string> =>
  makeLeaf(intermediate, publicKey, identity, { notBefore, notAfter });

const verify = (chain: readonly string[], pair = keys) =>
  verifyIssued(chain, { identity: web, privateKey: KeyObject.from(pair.privateKey), now });

const refusal = (chain: readonly string[], pair = keys): string => {
  try {
    verify(chain, pair);
  } catch (error) {
    if (error instanceof MeshError && error.code === 'CERTIFICATE_INVALID') return error.message;
    throw error;
  }
  return 'accepted';
};

describe('the certificate authority’s answer', () => {
  it('is taken when identity, key, path and dates are right', async () => {
    const issued = verify([await leafFor(), intermediate.certificate, root.certificate]);
    expect(issued.notAfter).toBe(now + hourMs);
    expect(issued.serial).toMatch(/^[0-9A-F]{32}$/);
    expect(issued.certificateChain.match(/BEGIN CERTIFICATE/g)).toHaveLength(2);
    expect(issued.trustedRoots.match(/BEGIN CERTIFICATE/g)).toHaveLength(1);
  });

  it('may bring several roots in its last element, as during a rotation', async () => {
    const other = await makeRoot(trustDomain, { notBefore: now, notAfter: now + hourMs });
    const roots = other.certificate + root.certificate;
    const issued = verify([await leafFor(), intermediate.certificate, roots]);
    expect(issued.trustedRoots.match(/BEGIN CERTIFICATE/g)).toHaveLength(2);
  });

  it('may come from a root directly', async () => {
    const leaf = await makeLeaf(root, publicKey, web, { notBefore: now, notAfter: now + hourMs });
    expect(verify([leaf, root.certificate]).notAfter).toBe(now + hourMs);
  });

  it('is refused for another identity', async () => {
    const leaf = await leafFor(idOf('admin'));
    expect(refusal([leaf, intermediate.certificate, root.certificate])).toContain('sa/admin');
  });

  it('is refused for another key', async () => {
    const chain = [await leafFor(), intermediate.certificate, root.certificate];
    expect(refusal(chain, await generateKeyPair())).toContain('another key');
  });

  it('is refused when no root that came with it signed it', async () => {
    const stranger = await makeRoot(trustDomain, { notBefore: now, notAfter: now + hourMs });
    const chain = [await leafFor(), intermediate.certificate, stranger.certificate];
    expect(refusal(chain)).toContain('no trusted root');
  });

  it('is refused when an intermediate is missing or in the wrong place', async () => {
    const leaf = await leafFor();
    expect(refusal([leaf, root.certificate])).toContain('no trusted root');
    const wrong = [leaf, root.certificate, intermediate.certificate, root.certificate];
    expect(refusal(wrong)).toContain('chain is broken');
  });

  it('is refused when expired, with a hint about clocks', async () => {
    const leaf = await leafFor(web, now - hourMs, now - minuteMs);
    const chain = [leaf, intermediate.certificate, root.certificate];
    expect(refusal(chain)).toContain('but this node has 2026-06-01T00:00:00.000Z');
    expect(() => verify(chain)).toThrow(expect.objectContaining({ hint: expect.stringContaining('clocks') }));
  });

  it('is taken up to 15 minutes before it begins, and refused earlier than that', async () => {
    const early = await leafFor(web, now + 14 * minuteMs);
    expect(refusal([early, intermediate.certificate, root.certificate])).toBe('accepted');
    const tooEarly = await leafFor(web, now + 16 * minuteMs);
    expect(refusal([tooEarly, intermediate.certificate, root.certificate])).toContain('but this node has');
  });

  it.each([
    ['two URI names', { uris: [web, idOf('db')] }],
    ['a DNS name next to the URI', { uris: [web], dns: ['web.example'] }],
    ['no name', { uris: [] }],
    ['the rights of an authority', { uris: [web], isCa: true }],
  ])('is refused with %s', async (_what, options) => {
    const ca = await createTestCa();
    const { certificateChain, privateKey } = await ca.issue(options);
    const expected = { identity: web, privateKey: createPrivateKey(privateKey), now: Date.now() };
    expect(() => verifyIssued([certificateChain, ca.root], expected)).toThrow(
      expect.objectContaining({ code: 'CERTIFICATE_INVALID' }),
    );
  });

  it('is refused with a coded error whatever it is', async () => {
    const leaf = await leafFor();
    const pieces = fc.constantFrom('', leaf, intermediate.certificate, root.certificate, leaf.slice(0, 300));
    const junk = fc.oneof(pieces, fc.string(), fc.base64String().map(asPem));
    fc.assert(
      fc.property(fc.array(junk, { maxLength: 4 }), (chain) => {
        expect(typeof refusal(chain)).toBe('string');
      }),
    );
  });

  it('is refused when it has absurdly many certificates', async () => {
    const chain = [await leafFor(), root.certificate.repeat(40)];
    expect(refusal(chain)).toContain('not PEM');
  });
});

const asPem = (base64: string): string =>
  `-----BEGIN CERTIFICATE-----\n${base64}\n-----END CERTIFICATE-----\n`;
