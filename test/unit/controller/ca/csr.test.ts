import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import { beforeAll, describe, expect, it, jest } from '@jest/globals';
import {
  type Extension,
  Pkcs10CertificateRequestGenerator,
  SubjectAlternativeNameExtension,
} from '@peculiar/x509';
import * as fc from 'fast-check';
import { MeshError } from '../../../../src/base/errors.ts';
import { readCsr, type SigningSubject } from '../../../../src/controller/ca/csr.ts';
import { createCsr } from '../../../../src/identity/csr.ts';
import { generateKeyPair, type KeyPair, p256 } from '../../../../src/identity/key-pair.ts';
import { idOf } from '../../identity/support/fake-ca.ts';

// Certificates are made for real, perhaps while every core is busy.
jest.setTimeout(30_000);

const web = idOf('web');
type Name = { readonly type: 'url' | 'dns' | 'ip' | 'email'; readonly value: string };
type Algorithm = webcrypto.EcKeyGenParams | webcrypto.RsaHashedKeyGenParams;

let keys: KeyPair;
let good: string;

beforeAll(async () => {
  keys = await generateKeyPair();
  good = await createCsr(web, keys);
});

async function csr(names: readonly Name[], pair = keys, algorithm: Algorithm = p256): Promise<string> {
  const extensions: Extension[] = names.length === 0 ? [] : [new SubjectAlternativeNameExtension([...names])];
  const request = await Pkcs10CertificateRequestGenerator.create({
    keys: pair,
    signingAlgorithm: { hash: 'SHA-256', ...algorithm },
    extensions,
  });
  return request.toString('pem');
}

async function withKey(algorithm: Algorithm): Promise<string> {
  const pair = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  return csr([{ type: 'url', value: web }], pair, algorithm);
}

const rsa = (modulusLength: number): Algorithm => ({
  name: 'RSASSA-PKCS1-v1_5',
  hash: 'SHA-256',
  publicExponent: new Uint8Array([1, 0, 1]),
  modulusLength,
});

const ec = (namedCurve: string): Algorithm => ({ name: 'ECDSA', namedCurve });

/** The outcome as one word: `accepted`, or the code of the error. */
async function outcome(pem: string): Promise<string> {
  const read = await readOrCode(pem);
  return typeof read === 'string' ? read : 'accepted';
}

/** What was read, or the code of the error. Anything uncoded fails the test. */
async function readOrCode(pem: string): Promise<SigningSubject | string> {
  try {
    return await readCsr(pem);
  } catch (error) {
    if (error instanceof MeshError) return error.code;
    throw error;
  }
}

describe('a certificate request', () => {
  it('of a node is read: its key and the one identity it asks for', async () => {
    const subject = await readCsr(good);
    expect(subject.identity).toBe(web);
    const spki = await webcrypto.subtle.exportKey('spki', keys.publicKey);
    expect(Buffer.from(subject.publicKey.rawData).equals(Buffer.from(spki))).toBe(true);
  });

  it('may leave the identity to the token', async () => {
    expect((await readCsr(await csr([]))).identity).toBeUndefined();
  });

  it.each<[string, readonly Name[]]>([
    [
      'two URIs',
      [
        { type: 'url', value: web },
        { type: 'url', value: idOf('db') },
      ],
    ],
    [
      'the same URI twice',
      [
        { type: 'url', value: web },
        { type: 'url', value: web },
      ],
    ],
    ['a DNS name', [{ type: 'dns', value: 'web.shop' }]],
    [
      'a URI and a DNS name',
      [
        { type: 'url', value: web },
        { type: 'dns', value: 'web.shop' },
      ],
    ],
    ['an IP address', [{ type: 'ip', value: '10.0.0.1' }]],
    ['an e-mail address', [{ type: 'email', value: 'a@b.example' }]],
  ])('that asks for %s is refused', async (_what, names) => {
    await expect(readCsr(await csr(names))).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      hint: expect.stringContaining('SPIFFE ID'),
    });
  });

  it.each([
    'https://cluster.local/ns/shop/sa/web',
    'spiffe://cluster.local/ns/shop/sa/web/',
    'spiffe://cluster.local/ns/shop/sa/../sa/web',
    'spiffe://cluster.local/ns/shop/sa/web?x',
    'spiffe://cluster.local/ns/shop',
    'spiffe://cluster.local/ns/sh%6fp/sa/web',
  ])('for the look-alike %s is refused', async (value) => {
    expect(await outcome(await csr([{ type: 'url', value }]))).toBe('IDENTITY_INVALID');
  });

  it('may have a P-384 or an RSA key of 2048 bits', async () => {
    expect(await outcome(await withKey(ec('P-384')))).toBe('accepted');
    expect(await outcome(await withKey(rsa(2048)))).toBe('accepted');
  });

  it('may not have a weak or unusual key', async () => {
    expect(await outcome(await withKey(rsa(1024)))).toBe('INVALID_ARGUMENT');
    expect(await outcome(await withKey(ec('P-521')))).toBe('INVALID_ARGUMENT');
  });

  it('must be signed by its own key', async () => {
    const other = await createCsr(web, await generateKeyPair());
    const [mine, theirs] = [good, other].map(toDer);
    if (mine === undefined || theirs === undefined) throw new Error('unreachable');
    const at = mine.indexOf(Buffer.from(await webcrypto.subtle.exportKey('raw', keys.publicKey)));
    const forged = Buffer.concat([mine.subarray(0, at), rawKey(theirs), mine.subarray(at + 65)]);
    expect(await outcome(toPem(forged))).toBe('INVALID_ARGUMENT');
  });

  it('of more than 8 KiB, or not in PEM, or two at once, is refused unread', async () => {
    const bad = [good + ' '.repeat(9_000), toDer(good).toString('latin1'), good + good, '', 'hello'];
    expect(await Promise.all(bad.map(outcome))).toEqual(bad.map(() => 'INVALID_ARGUMENT'));
  });

  it('with any bytes changed is refused with a code, or is the same request in other clothes', async () => {
    const der = toDer(good);
    const change = fc.tuple(fc.nat(der.length - 1), fc.integer({ min: 1, max: 255 }));
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 4 }), async (changes) => {
        const bytes = Buffer.from(der);
        for (const [at, flip] of changes) bytes[at] = (bytes[at] ?? 0) ^ flip;
        const read = await readOrCode(toPem(bytes));
        if (typeof read !== 'string') expect(read).toEqual(await readCsr(good));
      }),
      { numRuns: 400 },
    );
  });

  it('of junk is refused with a code', async () => {
    const junk = fc.oneof(
      fc.uint8Array({ maxLength: 600 }).map(toPem),
      nestedDer.map(toPem),
      fc.string(),
      fc.nat(toDer(good).length - 1).map((n) => toPem(toDer(good).subarray(0, n))),
    );
    await fc.assert(
      fc.asyncProperty(junk, async (pem) => {
        expect(['INVALID_ARGUMENT', 'IDENTITY_INVALID']).toContain(await outcome(pem));
      }),
      { numRuns: 400 },
    );
  });
});

/** Sequences in sequences, as deep as fits: a recursive decoder must not run out of stack. */
const nestedDer = fc.integer({ min: 1, max: 1_900 }).map((depth) => {
  let der = Buffer.alloc(0);
  for (let i = 0; i < depth; i += 1) der = Buffer.concat([header(der.length), der]);
  return der;
});

function header(length: number): Buffer {
  if (length < 128) return Buffer.from([0x30, length]);
  return Buffer.from([0x30, 0x82, length >> 8, length & 0xff]);
}

const toDer = (pem: string): Buffer<ArrayBuffer> =>
  Buffer.from(pem.replaceAll(/-----[^-]+-----|\s/g, ''), 'base64');
const toPem = (der: Uint8Array): string =>
  `-----BEGIN CERTIFICATE REQUEST-----\n${Buffer.from(der).toString('base64')}\n-----END CERTIFICATE REQUEST-----\n`;

/** The 65 bytes of an uncompressed P-256 point inside a request. */
function rawKey(der: Buffer): Buffer {
  const at = der.indexOf(Buffer.from([0x03, 0x42, 0x00, 0x04])) + 3;
  return der.subarray(at, at + 65);
}
