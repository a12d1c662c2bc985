/**
 * The one gate between a finished TLS handshake and its use: nothing reads from a TLS socket before this has returned.
 * Handshakes run with `rejectUnauthorized: false` so that a refusal can say who the peer claims to be and what was wrong;
 * OpenSSL's verdict is enforced here instead (`verify-peer.ts`).
 */
import type { TLSSocket } from 'node:tls';
import { MeshError } from '../../base/errors.ts';
import type { SpiffeId } from '../../model/identity.ts';
import { alpn } from './tls-contexts.ts';
import { verifyPeer, type PeerExpectation } from './verify-peer.ts';

export interface AuthenticatedPeer {
  readonly identity: SpiffeId;
  /** Its certificate proves that until then, in milliseconds since the epoch. */
  readonly validUntil: number;
}

/** @throws MeshError TLS_FAILED, CERTIFICATE_INVALID, TRUST_DOMAIN or PEER_IDENTITY */
export function authenticate(socket: TLSSocket, expected: PeerExpectation): AuthenticatedPeer {
  if (socket.getProtocol() !== 'TLSv1.3' || socket.isSessionReused()) {
    throw new MeshError('TLS_FAILED', `${expected.peer} did not do a full TLS 1.3 handshake`);
  }
  const leaf = socket.getPeerX509Certificate();
  const chainError = socket.authorized ? undefined : String(socket.authorizationError ?? 'not verified');
  const identity = verifyPeer({ leaf: leaf?.raw, chainError }, expected);
  if (socket.alpnProtocol !== alpn) {
    throw new MeshError('TLS_FAILED', `${expected.peer} did not negotiate HTTP/2 (ALPN "${alpn}")`, {
      hint: 'it is in the mesh but does not speak HBONE on this port',
    });
  }
  return { identity, validUntil: leaf?.validToDate.getTime() ?? expected.now };
}

/** A handshake that OpenSSL or the network ended. */
export function handshakeFailure(cause: Error, peer: string): MeshError {
  if (cause instanceof MeshError) return cause;
  const reason = (cause as NodeJS.ErrnoException).code ?? cause.message;
  const hint = hints.find(([pattern]) => pattern.test(reason))?.[1];
  return new MeshError('TLS_FAILED', `TLS handshake with ${peer} failed: ${reason}`, {
    hint: hint ?? 'look at the log of the other node for the same moment',
    cause,
  });
}

const hints: readonly (readonly [RegExp, string])[] = [
  [
    /WRONG_VERSION_NUMBER|HTTP_REQUEST|PACKET_LENGTH|UNEXPECTED_MESSAGE/,
    'the peer does not speak TLS on this port',
  ],
  [/APPLICATION_PROTOCOL/, 'the peer speaks TLS but not HBONE (no ALPN "h2") on this port'],
  [
    /CERTIFICATE_UNOBTAINABLE/,
    'the other node has no certificate for that pod: run mesh-ebpf certs for it, and look whether it reaches the certificate authority',
  ],
  [/UNSUPPORTED_PROTOCOL|PROTOCOL_VERSION/, 'the peer does not speak TLS 1.3'],
];
