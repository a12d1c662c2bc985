/** The certificate request a node sends: empty subject, one URI SAN, as ztunnel's is. */
import 'reflect-metadata';
import { Pkcs10CertificateRequestGenerator, SubjectAlternativeNameExtension } from '@peculiar/x509';
import type { SpiffeId } from '../model/identity.ts';
import { type KeyPair, p256 } from './key-pair.ts';

/** PKCS #10 in PEM, signed with the pair's private key. */
export async function createCsr(identity: SpiffeId, keys: KeyPair): Promise<string> {
  const request = await Pkcs10CertificateRequestGenerator.create({
    keys,
    signingAlgorithm: p256,
    extensions: [new SubjectAlternativeNameExtension([{ type: 'url', value: identity }], true)],
  });
  return request.toString('pem');
}
