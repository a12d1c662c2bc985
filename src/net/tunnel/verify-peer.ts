/**
 * Who is at the other end of a TLS connection: pure checks of a certificate's bytes. OpenSSL has built and checked the
 * chain (its verdict is an input); names, dates and trust domain are checked here, from the parsed DER and never from a
 * printed form, which quotes can fool.
 */
import 'reflect-metadata';
import { BasicConstraintsExtension, SubjectAlternativeNameExtension, X509Certificate } from '@peculiar/x509';
import { MeshError } from '../../base/errors.ts';
import { identityParts, parseSpiffeId, type SpiffeId, type TrustDomain } from '../../model/identity.ts';

export interface PresentedCertificate {
  /** DER of the leaf; undefined when the peer sent none. */
  readonly leaf: Uint8Array | undefined;
  /** OpenSSL's reason for refusing the chain; undefined when it leads to a trusted root. */
  readonly chainError: string | undefined;
}

export interface PeerExpectation {
  readonly trustDomain: TrustDomain;
  /** Any of these; undefined takes every identity of the trust domain (a server: policy decides later). */
  readonly identities: readonly SpiffeId[] | undefined;
  /** How the peer is called in an error: `10.0.0.2:15008`. */
  readonly peer: string;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

/**
 * The proved identity.
 * @throws MeshError CERTIFICATE_INVALID, TRUST_DOMAIN or PEER_IDENTITY
 */
export function verifyPeer(presented: PresentedCertificate, expected: PeerExpectation): SpiffeId {
  const { peer } = expected;
  if (presented.leaf === undefined) throw invalid(peer, 'presented no certificate', 'it must use mutual TLS');
  const leaf = parse(presented.leaf, peer);
  const identity = soleIdentity(leaf, peer);
  const { trustDomain } = identityParts(identity);
  if (trustDomain !== expected.trustDomain) {
    throw new MeshError(
      'TRUST_DOMAIN',
      `${peer} is of trust domain ${trustDomain}, not ${expected.trustDomain}`,
      {
        hint: 'both nodes must belong to one mesh: compare trustDomain in their configuration',
      },
    );
  }
  checkDates(leaf, expected);
  if (presented.chainError !== undefined) throw untrusted(identity, presented.chainError, expected);
  if (leaf.getExtension(BasicConstraintsExtension)?.ca === true) {
    throw invalid(peer, 'presented an authority’s certificate as its own', 'issue it a leaf certificate');
  }
  return expectedOne(identity, expected);
}

function parse(der: Uint8Array, peer: string): X509Certificate {
  try {
    return new X509Certificate(new Uint8Array(der));
  } catch (cause) {
    throw invalid(peer, 'presented a certificate that cannot be parsed', undefined, cause);
  }
}

/** SPIFFE X.509-SVID §2: exactly one URI name, and that is the SPIFFE ID. */
function soleIdentity(leaf: X509Certificate, peer: string): SpiffeId {
  const uris = leaf
    .getExtensions(SubjectAlternativeNameExtension)
    .flatMap((extension) => extension.names.items.filter((name) => name.type === 'url'));
  const uri = uris[0]?.value;
  if (uri === undefined || uris.length !== 1) {
    throw invalid(
      peer,
      `has ${uris.length} URI names in its certificate, not one`,
      'issue it a SPIFFE certificate',
    );
  }
  try {
    return parseSpiffeId(uri);
  } catch (cause) {
    throw invalid(
      peer,
      'has a URI name in its certificate that is not a workload’s SPIFFE ID',
      undefined,
      cause,
    );
  }
}

const clockHint =
  'compare the clocks of both nodes, and look whether the peer can reach its certificate authority';

const byClock = (now: number): string => `by the clock of this node it is ${new Date(now).toISOString()}`;

function checkDates(leaf: X509Certificate, { peer, now }: PeerExpectation): void {
  const { notBefore, notAfter } = leaf;
  const refuse = (problem: string): MeshError =>
    invalid(peer, `has a certificate that ${problem}; ${byClock(now)}`, clockHint);
  if (now < notBefore.getTime()) throw refuse(`is valid from ${notBefore.toISOString()} only`);
  if (now > notAfter.getTime()) throw refuse(`expired at ${notAfter.toISOString()}`);
}

/** OpenSSL's words for an issuer that is not valid now; the leaf's own dates were checked before. */
const datesOfIssuer = /^CERT_(NOT_YET_VALID|HAS_EXPIRED)$/;

function untrusted(identity: SpiffeId, reason: string, { peer, now }: PeerExpectation): MeshError {
  const problem = `as ${identity} is not vouched for by a trusted root (${reason})`;
  if (datesOfIssuer.test(reason)) return invalid(peer, `${problem}; ${byClock(now)}`, clockHint);
  return invalid(peer, problem, 'compare the roots of both nodes: mesh-ebpf certs');
}

function expectedOne(identity: SpiffeId, { identities, peer }: PeerExpectation): SpiffeId {
  if (identities === undefined || identities.includes(identity)) return identity;
  throw new MeshError('PEER_IDENTITY', `${peer} is ${identity}, expected ${identities.join(' or ')}`, {
    hint: 'the address may have passed to another pod; the next connection uses its new identity',
  });
}

const invalid = (peer: string, problem: string, hint?: string, cause?: unknown): MeshError =>
  new MeshError('CERTIFICATE_INVALID', `${peer} ${problem}`, { ...(hint && { hint }), cause });
