/**
 * Reads a certificate request from a caller nobody trusts: what it asks for, if it is one this authority may sign.
 * Only the public key and the wanted SPIFFE ID are taken from it; every other field is ignored or refused.
 */
import 'reflect-metadata';
import { Pkcs10CertificateRequest, type PublicKey, SubjectAlternativeNameExtension } from '@peculiar/x509';
import { createPublicKey } from 'node:crypto';
import { asMeshError, MeshError } from '../../base/errors.ts';
import { parseSpiffeId, type SpiffeId } from '../../model/identity.ts';

export interface SigningSubject {
  readonly publicKey: PublicKey;
  /** From the request's only SAN; undefined if it has none. */
  readonly identity: SpiffeId | undefined;
}

/** A P-256 request has 450 bytes, an RSA-4096 one 1.8 KB. */
const maxCsrBytes = 8 * 1024;
const pemShape =
  /^\s*-----BEGIN (?:NEW )?CERTIFICATE REQUEST-----[A-Za-z0-9+/=\s]+-----END (?:NEW )?CERTIFICATE REQUEST-----\s*$/;
const pemHint = 'send one PKCS #10 request in PEM, with an ECDSA P-256 key and the SPIFFE ID as its only SAN';

/** @throws MeshError INVALID_ARGUMENT or IDENTITY_INVALID, saying what to change. */
export async function readCsr(pem: string): Promise<SigningSubject> {
  if (pem.length > maxCsrBytes) throw invalid(`it is longer than ${maxCsrBytes} bytes`);
  if (!pemShape.test(pem)) throw invalid('it is not one PKCS #10 request in PEM');
  try {
    const request = new Pkcs10CertificateRequest(pem);
    checkKey(request.publicKey);
    if (!(await request.verify())) throw invalid('its signature is wrong');
    return { publicKey: request.publicKey, identity: wantedIdentity(request) };
  } catch (thrown) {
    throw asMeshError(thrown, 'INVALID_ARGUMENT', 'the certificate request cannot be decoded');
  }
}

/** P-256 or P-384, or RSA of 2048 to 4096 bits. */
function checkKey({ rawData }: PublicKey): void {
  const key = createPublicKey({ key: Buffer.from(rawData), format: 'der', type: 'spki' });
  const { namedCurve = '', modulusLength = 0 } = key.asymmetricKeyDetails ?? {};
  const strong =
    key.asymmetricKeyType === 'rsa'
      ? modulusLength >= 2048 && modulusLength <= 4096
      : key.asymmetricKeyType === 'ec' && ['prime256v1', 'secp384r1'].includes(namedCurve);
  if (!strong) {
    throw invalid(`its key is ${key.asymmetricKeyType ?? 'unknown'} ${namedCurve || modulusLength}`);
  }
}

function wantedIdentity(request: Pkcs10CertificateRequest): SpiffeId | undefined {
  const names = request.extensions
    .filter((extension) => extension instanceof SubjectAlternativeNameExtension)
    .flatMap((extension) => extension.names.items);
  const [name] = names;
  if (name === undefined) return undefined;
  if (names.length > 1 || name.type !== 'url') throw invalid('it asks for other names than one URI');
  return parseSpiffeId(name.value);
}

function invalid(reason: string): MeshError {
  return new MeshError('INVALID_ARGUMENT', `the certificate request is refused: ${reason}`, {
    hint: pemHint,
  });
}
