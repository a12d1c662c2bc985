/** The client's TLS handshake over a connected socket: no SNI, no resumption, peer verified before the socket is handed on. */
import type { Socket } from 'node:net';
import { connect, type SecureContext, type TLSSocket } from 'node:tls';
import { asMeshError, MeshError } from '../../base/errors.ts';
import { authenticate, handshakeFailure } from './authenticate.ts';
import type { Wanted } from './ending.ts';
import { alpnOffer } from './tls-contexts.ts';
import type { PeerExpectation } from './verify-peer.ts';

export interface SecureSocket {
  readonly socket: TLSSocket;
  readonly validUntil: number;
}

/**
 * Takes over `raw`, and destroys it on failure.
 * @throws MeshError TLS_FAILED, CERTIFICATE_INVALID, TRUST_DOMAIN, PEER_IDENTITY, or why it is not wanted any more
 */
export function secureClient(
  raw: Socket,
  secureContext: SecureContext,
  expected: PeerExpectation,
  wanted: Wanted,
): Promise<SecureSocket> {
  const socket = connect({
    socket: raw,
    secureContext,
    ALPNProtocols: alpnOffer,
    servername: '',
    rejectUnauthorized: false, // enforced by `authenticate`
    checkServerIdentity: () => undefined, // there is no host name; the SPIFFE ID is checked by `authenticate`
  });
  return new Promise((resolve, reject) => {
    const settle = (): void => {
      wanted.forget(failed);
      socket.off('close', closed);
    };
    const failed = (error: Error): void => {
      settle();
      socket.destroy();
      reject(handshakeFailure(error, expected.peer));
    };
    const closed = (): void =>
      failed(new MeshError('TLS_FAILED', `${expected.peer} closed during the handshake`));
    wanted.listen(failed);
    socket.on('error', failed);
    socket.on('close', closed);
    socket.once('secureConnect', () => {
      try {
        const { validUntil } = authenticate(socket, expected);
        settle();
        socket.off('error', failed);
        resolve({ socket, validUntil });
      } catch (error) {
        failed(asMeshError(error));
      }
    });
  });
}
