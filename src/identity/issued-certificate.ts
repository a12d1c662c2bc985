/**
 * Checks what a certificate authority returned before anybody uses it: right identity, our key, a path to the roots
 * that came with it, and valid by this node's clock. Pure but for parsing.
 */
import { type KeyObject, X509Certificate } from 'node:crypto';
import { MeshError } from '../base/errors.ts';
import type { SpiffeId } from '../model/identity.ts';

export interface IssuedCertificate {
  /** Leaf and intermediates, PEM. */
  readonly certificateChain: string;
  /** PEM. */
  readonly trustedRoots: string;
  /** Upper-case hexadecimal. */
  readonly serial: string;
  /** Milliseconds since the epoch, both. */
  readonly notBefore: number;
  readonly notAfter: number;
}

export interface Expectation {
  readonly identity: SpiffeId;
  readonly privateKey: KeyObject;
  /** Milliseconds since the epoch, by this node's clock. */
  readonly now: number;
}

/**
 * A certificate may start this much in the future: the authority's clock may be ahead of ours. Peers judge it by
 * their own clocks.
 */
export const clockSkewMs = 15 * 60_000;

/** More certificates than any sane answer has: a leaf, intermediates, and roots during a rotation. */
const maxCertificates = 32;

/** @throws MeshError CERTIFICATE_INVALID, saying which check failed. */
export function verifyIssued(answer: readonly string[], expected: Expectation): IssuedCertificate {
  const elements = answer.map(parseCertificates);
  const roots = elements.pop() ?? [];
  const [leaf, ...intermediates] = elements.flat();
  if (leaf === undefined || roots.length === 0) {
    throw invalid('the answer has no leaf or no root', expected, answerHint);
  }
  checkLeaf(leaf, expected);
  checkPath(leaf, intermediates, roots, expected);
  return {
    certificateChain: [leaf, ...intermediates].map(String).join(''),
    trustedRoots: roots.map(String).join(''),
    serial: leaf.serialNumber,
    notBefore: leaf.validFromDate.getTime(),
    notAfter: leaf.validToDate.getTime(),
  };
}

const answerHint = 'the certificate authority is not one for this mesh; check its address';
const clockHint = 'compare the clocks of this node and of the certificate authority (chronyc tracking)';

function checkLeaf(leaf: X509Certificate, expected: Expectation): void {
  // Node quotes any SAN that could be misread, so equality means: this one URI and nothing else.
  if (leaf.subjectAltName !== `URI:${expected.identity}`) {
    throw invalid(`it names ${leaf.subjectAltName ?? 'nobody'}`, expected, answerHint);
  }
  if (leaf.ca) throw invalid('it is a certificate authority', expected, answerHint);
  if (!leaf.checkPrivateKey(expected.privateKey)) {
    throw invalid('it is for another key', expected, answerHint);
  }
  checkValidity(leaf, expected);
}

/** Every certificate signed by the next, the last by one of the roots; all of them valid authorities. */
function checkPath(
  leaf: X509Certificate,
  intermediates: readonly X509Certificate[],
  roots: readonly X509Certificate[],
  expected: Expectation,
): void {
  let current = leaf;
  for (const issuer of intermediates) {
    if (!issued(issuer, current)) throw invalid('its chain is broken', expected, answerHint);
    checkValidity(issuer, expected);
    current = issuer;
  }
  const anchors = roots.filter((root) => issued(root, current));
  const [anchor] = anchors;
  if (anchor === undefined) throw invalid('no trusted root signed it', expected, answerHint);
  if (!anchors.some((root) => isValid(root, expected.now))) checkValidity(anchor, expected);
}

const issued = (issuer: X509Certificate, subject: X509Certificate): boolean =>
  issuer.ca && subject.checkIssued(issuer) && subject.verify(issuer.publicKey);

const isValid = (certificate: X509Certificate, now: number): boolean =>
  certificate.validFromDate.getTime() <= now + clockSkewMs && now < certificate.validToDate.getTime();

function checkValidity(certificate: X509Certificate, expected: Expectation): void {
  if (isValid(certificate, expected.now)) return;
  const { validFrom, validTo } = certificate;
  const clock = new Date(expected.now).toISOString();
  throw invalid(`valid from ${validFrom} to ${validTo}, but this node has ${clock}`, expected, clockHint);
}

const pemBlock = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g;

function parseCertificates(pem: string): readonly X509Certificate[] {
  const blocks = pem.match(pemBlock) ?? [];
  try {
    if (blocks.length > maxCertificates) throw new Error(`more than ${maxCertificates} certificates`);
    return blocks.map((block) => new X509Certificate(block));
  } catch (cause) {
    throw new MeshError('CERTIFICATE_INVALID', 'the answer of the certificate authority is not PEM', {
      cause,
      hint: answerHint,
    });
  }
}

function invalid(reason: string, { identity }: Expectation, hint: string): MeshError {
  return new MeshError('CERTIFICATE_INVALID', `the certificate received for ${identity}: ${reason}`, {
    hint,
  });
}
