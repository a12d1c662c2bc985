/**
 * Makes certificates: roots, intermediates, workload leaves and the authority's own server certificate. Pure but for
 * the random serial; who may have what, and where keys are kept, is decided elsewhere.
 */
import 'reflect-metadata';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  type Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  type PublicKey,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509';
import { createPrivateKey, randomBytes, webcrypto } from 'node:crypto';
import { isIP } from 'node:net';
import { generateKeyPair, type KeyPair, p256, privateKeyPem } from '../../identity/key-pair.ts';
import type { SpiffeId, TrustDomain } from '../../model/identity.ts';

/** Milliseconds since the epoch, both. */
export interface Validity {
  readonly notBefore: number;
  readonly notAfter: number;
}

/** A certificate with the key that signs in its name, both PEM. */
export interface Signer {
  readonly certificate: string;
  readonly privateKey: string;
}

export async function makeRoot(trustDomain: TrustDomain, validity: Validity): Promise<Signer> {
  return makeAuthority({ name: authorityName('root', trustDomain), issuer: undefined, depth: 1, validity });
}

export async function makeIntermediate(
  trustDomain: TrustDomain,
  issuer: Signer,
  validity: Validity,
): Promise<Signer> {
  return makeAuthority({ name: authorityName('intermediate', trustDomain), issuer, depth: 0, validity });
}

/** A workload's certificate: empty subject, the SPIFFE ID as its one SAN (RFC 5280 §4.2.1.6 wants it critical then). */
export async function makeLeaf(
  issuer: Signer,
  publicKey: PublicKey,
  identity: SpiffeId,
  validity: Validity,
): Promise<string> {
  return sign(issuer, publicKey, validity, [
    new SubjectAlternativeNameExtension([{ type: 'url', value: identity }], true),
    new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth]),
  ]);
}

/** For the authority's own listener; carries no SPIFFE ID, so that it is nobody in the mesh. */
export async function makeServerCertificate(
  issuer: Signer,
  names: readonly string[],
  validity: Validity,
): Promise<Signer> {
  const keys = await generateKeyPair();
  const alternativeNames = names.map((value) => ({ type: isIP(value) ? 'ip' : 'dns', value }) as const);
  const certificate = await sign(issuer, keys.publicKey, validity, [
    new SubjectAlternativeNameExtension(alternativeNames, true),
    new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
  ]);
  return { certificate, privateKey: privateKeyPem(keys) };
}

/** Differs for every authority of a mesh, so that a path builder never confuses an old one with a new one. */
function authorityName(role: string, trustDomain: TrustDomain): string {
  return `O=${trustDomain}, CN=mesh-ebpf ${role} ${randomBytes(4).toString('hex')}`;
}

interface AuthoritySpec {
  readonly name: string;
  /** undefined: self-signed. */
  readonly issuer: Signer | undefined;
  /** How many authorities may follow below it. */
  readonly depth: number;
  readonly validity: Validity;
}

async function makeAuthority({ name, issuer, depth, validity }: AuthoritySpec): Promise<Signer> {
  const keys = await generateKeyPair();
  const by = issuer === undefined ? await selfIssuer(name, keys) : await issuerOf(issuer);
  const certificate = await X509CertificateGenerator.create({
    ...common(validity),
    subject: name,
    issuer: by.name,
    signingKey: by.key,
    publicKey: keys.publicKey,
    extensions: [
      new BasicConstraintsExtension(true, depth, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
      by.keyIdentifier,
    ],
  });
  return { certificate: pem(certificate), privateKey: privateKeyPem(keys) };
}

async function sign(
  signer: Signer,
  publicKey: PublicKey | webcrypto.CryptoKey,
  validity: Validity,
  extensions: readonly Extension[],
): Promise<string> {
  const by = await issuerOf(signer);
  const certificate = await X509CertificateGenerator.create({
    ...common(validity),
    subject: '',
    issuer: by.name,
    signingKey: by.key,
    publicKey,
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      by.keyIdentifier,
      ...extensions,
    ],
  });
  return pem(certificate);
}

/** What of an authority goes into the certificates it signs. */
interface Issuer {
  readonly name: string;
  readonly key: webcrypto.CryptoKey;
  readonly keyIdentifier: AuthorityKeyIdentifierExtension;
}

/** Decoded once for each authority: that would be a third of the work for a leaf. */
const issuers = new WeakMap<Signer, Promise<Issuer>>();

function issuerOf(signer: Signer): Promise<Issuer> {
  const issuer = issuers.get(signer) ?? decodeIssuer(signer);
  issuers.set(signer, issuer);
  return issuer;
}

async function decodeIssuer({ certificate, privateKey }: Signer): Promise<Issuer> {
  const { subject: name, publicKey } = new X509Certificate(certificate);
  const der = createPrivateKey(privateKey).export({ type: 'pkcs8', format: 'der' });
  const key = await webcrypto.subtle.importKey('pkcs8', der, p256, false, ['sign']);
  return { name, key, keyIdentifier: await AuthorityKeyIdentifierExtension.create(publicKey) };
}

const selfIssuer = async (name: string, { privateKey, publicKey }: KeyPair): Promise<Issuer> => ({
  name,
  key: privateKey,
  keyIdentifier: await AuthorityKeyIdentifierExtension.create(publicKey),
});

const common = ({ notBefore, notAfter }: Validity) => ({
  serialNumber: newSerial(),
  notBefore: new Date(notBefore),
  notAfter: new Date(notAfter),
  signingAlgorithm: p256,
});

/** 126 random bits; the first byte is 0x40 to 0x7f, so that it is positive and always 16 bytes (RFC 5280 §4.1.2.2). */
function newSerial(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40;
  return bytes.toString('hex');
}

const pem = (certificate: X509Certificate): string => `${certificate.toString('pem')}\n`;
