/** Makes the cluster's authorities, certificates and kubeconfigs: fresh ones for every cluster, kept in its directory. */
import 'reflect-metadata';
import * as x509 from '@peculiar/x509';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { webcrypto } from 'node:crypto';
import { type AuthorityName, type CertificatePlan, certificatePlans } from '../plan/certificates.ts';
import { kubeconfig } from '../plan/kubeconfig.ts';
import type { ClusterLayout, ClusterNode } from '../plan/layout.ts';

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const hourMs = 3_600_000;
/** Longer than anybody keeps a cluster for trying things out. */
const lifetimeMs = 365 * 24 * hourMs;

interface Authority {
  readonly certificate: x509.X509Certificate;
  readonly signingKey: webcrypto.CryptoKey;
  /** PEM. */
  readonly root: string;
}

export async function writePki(layout: ClusterLayout, nodes: readonly ClusterNode[]): Promise<void> {
  await mkdir(dirname(layout.pki('x')), { recursive: true, mode: 0o700 });
  const [cluster, etcd] = await Promise.all([
    writeAuthority(layout, 'cluster'),
    writeAuthority(layout, 'etcd'),
    writeServiceAccountKey(layout),
  ]);
  const authorities = { cluster, etcd };
  await Promise.all(certificatePlans(nodes).map((plan) => writeCertificate(layout, authorities, plan)));
}

async function writeAuthority(layout: ClusterLayout, name: AuthorityName): Promise<Authority> {
  const keys = await newKeys();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: `CN=mesh-ebpf test ${name}`,
    ...validity(),
    signingAlgorithm: algorithm,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  const root = `${certificate.toString('pem')}\n`;
  await writeFile(layout.pki(`${name}-ca.crt`), root);
  await writeSecret(layout.pki(`${name}-ca.key`), await privatePem(keys));
  return { certificate, signingKey: keys.privateKey, root };
}

async function writeCertificate(
  layout: ClusterLayout,
  authorities: Readonly<Record<AuthorityName, Authority>>,
  plan: CertificatePlan,
): Promise<void> {
  const authority = authorities[plan.authority];
  const keys = await newKeys();
  const certificate = await x509.X509CertificateGenerator.create({
    subject: plan.organization === undefined ? `CN=${plan.commonName}` : subjectOf(plan),
    issuer: authority.certificate.subject,
    ...validity(),
    signingAlgorithm: algorithm,
    publicKey: keys.publicKey,
    signingKey: authority.signingKey,
    extensions: extensionsOf(plan),
  });
  const pem = `${certificate.toString('pem')}\n`;
  const privateKey = await privatePem(keys);
  await writeFile(layout.pki(`${plan.name}.crt`), pem);
  await writeSecret(layout.pki(`${plan.name}.key`), privateKey);
  if (plan.kubeconfig !== true) return;
  const credentials = { authority: authority.root, certificate: pem, privateKey };
  await writeSecret(layout.kubeconfig(plan.name), kubeconfig(plan.name, credentials));
}

const subjectOf = ({ organization, commonName }: CertificatePlan): x509.JsonName => [
  { O: [organization ?? ''] },
  { CN: [commonName] },
];

function extensionsOf({ dns = [], ips = [] }: CertificatePlan): x509.Extension[] {
  const names: x509.JsonGeneralName[] = [
    ...dns.map((value) => ({ type: 'dns' as const, value })),
    ...ips.map((value) => ({ type: 'ip' as const, value })),
  ];
  return [
    new x509.BasicConstraintsExtension(false, undefined, true),
    new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
    new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]),
    ...(names.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension(names)]),
  ];
}

/** Signs the tokens of service accounts. */
async function writeServiceAccountKey(layout: ClusterLayout): Promise<void> {
  const keys = await newKeys();
  await writeSecret(layout.pki('service-account.key'), await privatePem(keys));
  const spki = await crypto.subtle.exportKey('spki', keys.publicKey);
  await writeFile(layout.pki('service-account.pub'), `${x509.PemConverter.encode(spki, 'PUBLIC KEY')}\n`);
}

const newKeys = (): Promise<webcrypto.CryptoKeyPair> =>
  crypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);

const privatePem = async (keys: webcrypto.CryptoKeyPair): Promise<string> =>
  `${x509.PemConverter.encode(await crypto.subtle.exportKey('pkcs8', keys.privateKey), 'PRIVATE KEY')}\n`;

const validity = () => ({
  notBefore: new Date(Date.now() - hourMs),
  notAfter: new Date(Date.now() + lifetimeMs),
});

const writeSecret = (path: string, content: string): Promise<void> =>
  writeFile(path, content, { mode: 0o600 });
