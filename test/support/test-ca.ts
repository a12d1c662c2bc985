/**
 * A throw-away certificate authority for tests: P-256 root, optional intermediate, leaves with whatever names and
 * dates a test wants, wrong ones included. Not the product's authority (`src/controller`).
 */
import 'reflect-metadata';
import * as x509 from '@peculiar/x509';
import { X509Certificate, type webcrypto } from 'node:crypto';
import type { Credentials } from '../../src/model/credentials.ts';
import { identityParts, type SpiffeId } from '../../src/model/identity.ts';

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const day = 86_400_000;

export interface LeafOptions {
  /** URI SANs; one SPIFFE ID unless a test wants it wrong. */
  readonly uris: readonly string[];
  readonly dns?: readonly string[];
  readonly notBefore?: Date;
  readonly notAfter?: Date;
  /** Marks the leaf as a certificate authority, which no peer may accept. */
  readonly isCa?: boolean;
}

export interface Leaf {
  /** PEM, leaf first, then the intermediate. */
  readonly certificateChain: string;
  readonly privateKey: string;
}

export interface TestCa {
  /** PEM of the root. */
  readonly root: string;
  issue(options: LeafOptions): Promise<Leaf>;
  /** A good certificate for an identity, as a CredentialSource would hand it out. */
  credentials(identity: SpiffeId, overrides?: Partial<LeafOptions>): Promise<Credentials>;
}

export async function createTestCa(name = 'test root'): Promise<TestCa> {
  const rootKeys = await generateKeys();
  const root = await x509.X509CertificateGenerator.createSelfSigned({
    name: `CN=${name}`,
    notBefore: new Date(Date.now() - day),
    notAfter: new Date(Date.now() + 10 * day),
    signingAlgorithm: algorithm,
    keys: rootKeys,
    extensions: caExtensions(),
  });
  const intermediateKeys = await generateKeys();
  const intermediate = await x509.X509CertificateGenerator.create({
    subject: `CN=${name} intermediate`,
    issuer: root.subject,
    notBefore: root.notBefore,
    notAfter: root.notAfter,
    signingAlgorithm: algorithm,
    publicKey: intermediateKeys.publicKey,
    signingKey: rootKeys.privateKey,
    extensions: caExtensions(),
  });

  const issue = async (options: LeafOptions): Promise<Leaf> => {
    const keys = await generateKeys();
    const leaf = await x509.X509CertificateGenerator.create({
      issuer: intermediate.subject,
      notBefore: options.notBefore ?? new Date(Date.now() - 60_000),
      notAfter: options.notAfter ?? new Date(Date.now() + day),
      signingAlgorithm: algorithm,
      publicKey: keys.publicKey,
      signingKey: intermediateKeys.privateKey,
      extensions: leafExtensions(options),
    });
    return {
      certificateChain: `${leaf.toString('pem')}\n${intermediate.toString('pem')}\n`,
      privateKey: await exportPrivateKey(keys.privateKey),
    };
  };

  return {
    root: `${root.toString('pem')}\n`,
    issue,
    async credentials(identity, overrides = {}) {
      const leaf = await issue({ uris: [identity], ...overrides });
      return {
        ...leaf,
        identity,
        trustDomain: identityParts(identity).trustDomain,
        trustedRoots: `${root.toString('pem')}\n`,
        notAfter: new X509Certificate(leaf.certificateChain).validToDate.getTime(),
      };
    },
  };
}

/** The DER bytes of the first certificate of a PEM chain. */
export const leafBytes = (leaf: Leaf): Uint8Array => new X509Certificate(leaf.certificateChain).raw;

const generateKeys = (): Promise<webcrypto.CryptoKeyPair> =>
  crypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);

const caExtensions = (): x509.Extension[] => [
  new x509.BasicConstraintsExtension(true, undefined, true),
  new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
];

function leafExtensions(options: LeafOptions): x509.Extension[] {
  const names: x509.JsonGeneralName[] = [
    ...options.uris.map((value) => ({ type: 'url' as const, value })),
    ...(options.dns ?? []).map((value) => ({ type: 'dns' as const, value })),
  ];
  const keyUsage =
    x509.KeyUsageFlags.digitalSignature | (options.isCa === true ? x509.KeyUsageFlags.keyCertSign : 0);
  return [
    new x509.BasicConstraintsExtension(options.isCa === true, undefined, true),
    new x509.KeyUsagesExtension(keyUsage, true),
    new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]),
    ...(names.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension(names, true)]),
  ];
}

async function exportPrivateKey(key: webcrypto.CryptoKey): Promise<string> {
  return x509.PemConverter.encode(await crypto.subtle.exportKey('pkcs8', key), 'PRIVATE KEY');
}
