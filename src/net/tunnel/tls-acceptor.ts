/**
 * The server's TLS handshakes for one pod: bounded in number and time, and over before anything reads a byte of what the
 * peer sent behind it. Each handshake uses the certificate of that moment.
 */
import type { Socket } from 'node:net';
import { createServer, type Server, type TLSSocket } from 'node:tls';
import type { Clock } from '../../base/clock.ts';
import { MeshError } from '../../base/errors.ts';
import type { Credentials, CredentialSource } from '../../model/credentials.ts';
import { identityParts, type SpiffeId } from '../../model/identity.ts';
import { authenticate, handshakeFailure } from './authenticate.ts';
import { deadline } from './deadline.ts';
import { throwIfEnded, toSignal, type Wanted } from './ending.ts';
import { alpn, certificateUnobtainable, contextOptions, usable } from './tls-contexts.ts';

interface TlsAcceptorDeps {
  readonly credentials: CredentialSource;
  readonly clock: Clock;
}

interface TlsAcceptorOptions {
  readonly handshakeTimeoutMs: number;
  readonly certificateTimeoutMs: number;
  readonly maxHandshakes: number;
}

export interface AuthenticatedSocket {
  readonly socket: TLSSocket;
  readonly peerIdentity: SpiffeId;
  readonly validUntil: number;
}

interface Handshake {
  resolve(socket: TLSSocket): void;
  reject(error: Error): void;
}

export class TlsAcceptor {
  readonly #deps: TlsAcceptorDeps;
  readonly #options: TlsAcceptorOptions;
  /** By the socket's addresses, because that is what a TLS socket shares with the socket below it. */
  readonly #handshakes = new Map<string, Handshake>();
  #inFlight = 0;
  #current: { readonly credentials: Credentials; readonly server: Server } | undefined;

  constructor(deps: TlsAcceptorDeps, options: TlsAcceptorOptions) {
    this.#deps = deps;
    this.#options = options;
  }

  /**
   * Takes over `raw`, and destroys it on failure.
   * @throws MeshError OVERLOADED, CERTIFICATE_UNAVAILABLE, TLS_FAILED, CERTIFICATE_INVALID, TRUST_DOMAIN, or why it is not wanted any more
   */
  async accept(raw: Socket, peer: string, identity: SpiffeId, wanted: Wanted): Promise<AuthenticatedSocket> {
    raw.on('error', () => {}); // 'close' follows and is what counts
    if (this.#inFlight >= this.#options.maxHandshakes) {
      raw.resetAndDestroy();
      throw new MeshError('OVERLOADED', `${this.#inFlight} TLS handshakes of this pod are under way already`);
    }
    const limit = deadline(this.#deps.clock, this.#options.handshakeTimeoutMs, wanted, () => tooSlow(peer));
    this.#inFlight++;
    try {
      return await this.#authenticated(raw, peer, identity, limit.wanted);
    } catch (error) {
      turnAway(raw, error);
      throw handshakeFailure(error instanceof Error ? error : new Error(String(error)), peer);
    } finally {
      this.#inFlight--;
      limit.cancel();
    }
  }

  async #authenticated(
    raw: Socket,
    peer: string,
    identity: SpiffeId,
    wanted: Wanted,
  ): Promise<AuthenticatedSocket> {
    const credentials = await this.#credentials(identity, wanted);
    throwIfEnded(wanted);
    const socket = await this.#handshake(this.#serverFor(credentials), raw, peer, wanted);
    const { trustDomain } = identityParts(identity);
    const expected = { trustDomain, identities: undefined, peer, now: this.#deps.clock.now() };
    const { identity: peerIdentity, validUntil } = authenticate(socket, expected);
    return { socket, peerIdentity, validUntil };
  }

  async #credentials(identity: SpiffeId, wanted: Wanted): Promise<Credentials> {
    const limit = deadline(this.#deps.clock, this.#options.certificateTimeoutMs, wanted, noCertificate);
    const { signal, done } = toSignal(limit.wanted);
    try {
      return await this.#deps.credentials.get(identity, { signal });
    } finally {
      done();
      limit.cancel();
    }
  }

  #serverFor(credentials: Credentials): Server {
    if (this.#current?.credentials === credentials) return this.#current.server;
    const server = usable(credentials, () =>
      createServer({
        ...contextOptions(credentials),
        // Not `ALPNProtocols`: see `alpnOffer`. No answer refuses the handshake; nothing offered, `authenticate` does.
        ALPNCallback: ({ protocols }) => (protocols.includes(alpn) ? alpn : undefined),
        requestCert: true,
        rejectUnauthorized: false, // enforced by `authenticate`
        handshakeTimeout: 0, // ours counts from the accept, and is not extended by a byte a second
      }),
    );
    server.on('secureConnection', (socket) => {
      const handshake = this.#handshakes.get(keyOf(socket));
      if (handshake === undefined) socket.destroy();
      else handshake.resolve(socket);
    });
    server.on('tlsClientError', (error, socket) => this.#handshakes.get(keyOf(socket))?.reject(error));
    this.#current = { credentials, server };
    return server;
  }

  #handshake(server: Server, raw: Socket, peer: string, wanted: Wanted): Promise<TLSSocket> {
    const key = keyOf(raw);
    return new Promise<TLSSocket>((resolve, reject) => {
      const settle = (): void => {
        this.#handshakes.delete(key);
        raw.off('close', closed);
        wanted.forget(fail);
      };
      const fail = (error: Error): void => {
        settle();
        reject(error);
      };
      const closed = (): void => fail(new MeshError('TLS_FAILED', `${peer} closed during the handshake`));
      raw.on('close', closed);
      wanted.listen(fail);
      this.#handshakes.set(key, {
        resolve: (socket) => {
          settle();
          resolve(socket);
        },
        reject: fail,
      });
      if (raw.destroyed) closed();
      else server.emit('connection', raw);
    });
  }
}

const keyOf = (socket: Socket): string =>
  `${socket.remoteAddress} ${socket.remotePort} ${socket.localAddress}`;

/** A peer that did nothing wrong is told why; one that did learns nothing. */
function turnAway(raw: Socket, error: unknown): void {
  if (!(error instanceof MeshError) || error.code !== 'CERTIFICATE_UNAVAILABLE') {
    raw.destroy();
    return;
  }
  raw.resume();
  raw.end(certificateUnobtainable, () => raw.destroy());
}

const noCertificate = (): MeshError =>
  new MeshError('CERTIFICATE_UNAVAILABLE', 'no certificate was to be had in time', {
    hint: 'run: mesh-ebpf certs',
  });

const tooSlow = (peer: string): MeshError =>
  new MeshError('TLS_FAILED', `${peer} did not finish its TLS handshake in time`, {
    hint: 'it may be overloaded, or not speak TLS at all',
  });
