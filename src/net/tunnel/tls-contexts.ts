/**
 * TLS as HBONE wants it: 1.3 only, AES-GCM, ALPN `h2`, no tickets, the pod's own certificate, the mesh's roots and no
 * others. Whoever makes a context keeps it until the certificate is renewed; connections that stand keep the old one.
 */
import { constants } from 'node:crypto';
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls';
import { asMeshError } from '../../base/errors.ts';
import type { Credentials } from '../../model/credentials.ts';

export const alpn = 'h2';

/**
 * The same as it is sent (RFC 7301 §3.1), for clients. Given as a view: of anything else Node keeps a copy for each
 * connection, cut from the 64 KiB that small buffers share, all of which then lives as long as the connection.
 */
export const alpnOffer = new DataView(Uint8Array.of(alpn.length, ...Buffer.from(alpn)).buffer);

/** The fatal alert `certificate_unobtainable` (RFC 6066 §9) as the record of a server that cannot even begin. */
export const certificateUnobtainable = Uint8Array.of(0x15, 3, 3, 0, 2, 2, 111);

export const contextOptions = (credentials: Credentials): SecureContextOptions => ({
  cert: credentials.certificateChain,
  key: credentials.privateKey,
  ca: credentials.trustedRoots,
  minVersion: 'TLSv1.3',
  maxVersion: 'TLSv1.3',
  ciphers: 'TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256',
  secureOptions: constants.SSL_OP_NO_TICKET,
});

/** Contexts of clients, one per certificate: parsing keys and roots costs more than a handshake. */
export class ClientContexts {
  readonly #contexts = new WeakMap<Credentials, SecureContext>();

  /** @throws MeshError CERTIFICATE_INVALID when the credentials cannot be used. */
  of(credentials: Credentials): SecureContext {
    const known = this.#contexts.get(credentials);
    if (known !== undefined) return known;
    const context = usable(credentials, () => createSecureContext(contextOptions(credentials)));
    this.#contexts.set(credentials, context);
    return context;
  }
}

/** Runs what parses `credentials`, so that its failure says whose they are. */
export function usable<T>(credentials: Credentials, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw asMeshError(error, 'CERTIFICATE_INVALID', `credentials of ${credentials.identity}`);
  }
}
