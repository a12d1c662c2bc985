/** Whom an engine talks to: mutual TLS 1.3, SPIFFE identities, one trust domain, and a coded reason for every refusal. */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { connect as connectTcp, type Socket } from 'node:net';
import {
  connect as connectTls,
  createServer as createTlsServer,
  type ConnectionOptions,
  type TLSSocket,
} from 'node:tls';
import { once } from 'node:events';
import type { ErrorCode } from '../../../src/base/errors.ts';
import { parsePort } from '../../../src/base/ip.ts';
import type { Credentials } from '../../../src/model/credentials.ts';
import { parseSpiffeId } from '../../../src/model/identity.ts';
import { createTestCa, leafBytes, type LeafOptions } from '../../support/test-ca.ts';
import { echo, ending, readAll, Rig, until, type EngineFactory, type RigPod } from './rig.ts';
import type { AddressInfo } from 'node:net';

type WrongCredentials = readonly [
  what: string,
  code: ErrorCode,
  make: (rig: Rig, pod: RigPod) => Promise<Credentials>,
];

const leaf =
  (options: Partial<LeafOptions>) =>
  (rig: Rig, pod: RigPod): Promise<Credentials> =>
    rig.ca.credentials(pod.pod.identity, options);

const wrong: readonly WrongCredentials[] = [
  [
    'an expired certificate',
    'CERTIFICATE_INVALID',
    leaf({ notBefore: new Date(0), notAfter: new Date(1000) }),
  ],
  ['a certificate of tomorrow', 'CERTIFICATE_INVALID', leaf({ notBefore: new Date(Date.now() + 3_600_000) })],
  ['no URI name', 'CERTIFICATE_INVALID', leaf({ uris: [], dns: ['web'] })],
  [
    'two URI names',
    'CERTIFICATE_INVALID',
    (rig, { pod }) =>
      rig.ca.credentials(pod.identity, { uris: [pod.identity, 'spiffe://cluster.local/ns/a/sa/b'] }),
  ],
  [
    'an identity of another trust domain',
    'TRUST_DOMAIN',
    leaf({ uris: ['spiffe://other.mesh/ns/test/sa/x'] }),
  ],
  [
    'a certificate of another authority',
    'CERTIFICATE_INVALID',
    async (rig, { pod }) => {
      const other = await (await createTestCa('another root')).credentials(pod.identity);
      return { ...other, trustedRoots: rig.ca.root };
    },
  ],
];

export function describeTrusting(factory: EngineFactory): void {
  describe('trust', () => {
    let rig: Rig;
    let client: RigPod;
    let server: RigPod;
    beforeEach(async () => {
      rig = await Rig.create(factory, {
        certificateTimeoutMs: 250,
        handshakeTimeoutMs: 500,
        dialTimeoutMs: 2000,
      });
      client = await rig.pod('a', 'client');
      server = await rig.pod('b', 'server');
      rig.routes = [rig.hboneRoute(server, await rig.application((socket) => socket.pipe(socket)))];
    });
    afterEach(() => rig.close());

    const failure = async () => (await rig.finished(1))[0]?.finished[0]?.failure;

    it.each(wrong)('a client refuses a server with %s', async (_what, code, make) => {
      rig.credentials.set(server.pod.identity, await make(rig, server));
      expect(await ending(await rig.dial(client.outbound))).toBe('reset');
      expect(await failure()).toMatchObject({ hop: 'tls', error: { code } });
      expect(rig.b.stats().connections).toBe(0);
    });

    it.each(wrong)(
      'a server refuses a client with %s, and the client learns that much',
      async (_what, code, make) => {
        rig.credentials.set(client.pod.identity, await make(rig, client));
        expect(await ending(await rig.dial(client.outbound))).toBe('reset');
        expect(rig.rejected).toMatchObject([{ hop: 'tls', error: { code } }]);
        expect(await failure()).toMatchObject({ hop: 'tls', error: { code: 'TLS_FAILED' } });
        expect(rig.told).toHaveLength(1);
      },
    );

    it('a client refuses a server with another identity than expected, naming both', async () => {
      const other = parseSpiffeId('spiffe://cluster.local/ns/test/sa/other');
      rig.routes = [rig.hboneRoute(server, server.plaintext, [other])];
      expect(await ending(await rig.dial(client.outbound))).toBe('reset');
      const told = await failure();
      expect(told).toMatchObject({ hop: 'tls', error: { code: 'PEER_IDENTITY' } });
      expect(told?.error.message).toContain(other);
      expect(told?.error.message).toContain(server.pod.identity);
    });

    it('a failed handshake fails everybody who waited for it, with one dial', async () => {
      rig.credentials.set(server.pod.identity, await rig.ca.credentials(server.pod.identity, { uris: [] }));
      const allWait = Promise.withResolvers<void>();
      rig.pending.set(client.pod.identity, allWait.promise);
      const sockets = await Promise.all(Array.from({ length: 20 }, () => rig.dial(client.outbound)));
      await until(() => rig.told.length === 20);
      allWait.resolve();
      expect(await Promise.all(sockets.map(ending))).toEqual(Array(20).fill('reset'));
      const told = await rig.finished(20);
      expect(new Set(told.map((each) => each.finished[0]?.failure?.error.code))).toEqual(
        new Set(['CERTIFICATE_INVALID']),
      );
      expect(rig.dials).toBe(1);
    });

    it('a pod without a certificate can neither connect nor be reached', async () => {
      rig.credentials.delete(client.pod.identity);
      expect(await ending(await rig.dial(client.outbound))).toBe('reset');
      expect(await failure()).toMatchObject({
        hop: 'certificate',
        error: { code: 'CERTIFICATE_UNAVAILABLE' },
      });
    });

    it('a pod that has no certificate yet says so to who connects, and serves when it has one', async () => {
      rig.pending.set(server.pod.identity, new Promise(() => {}));
      expect(await ending(await rig.dial(client.outbound))).toBe('reset');
      expect(await failure()).toMatchObject({
        error: { code: 'TLS_FAILED', hint: expect.stringContaining('no certificate for that pod') },
      });
      await until(() => rig.rejected.length === 1);
      expect(rig.rejected[0]).toMatchObject({ error: { code: 'CERTIFICATE_UNAVAILABLE' } });
      rig.pending.clear();
      expect(await echo(await rig.dial(client.outbound), 'x')).toBe('x');
    });

    describe('strangers at the HBONE port', () => {
      const identity = parseSpiffeId('spiffe://cluster.local/ns/test/sa/stranger');
      const dialTls = async (options: ConnectionOptions): Promise<TLSSocket> => {
        const credentials = await rig.ca.credentials(identity);
        const socket = connectTls({
          host: server.hbone.ip,
          port: server.hbone.port,
          ca: rig.ca.root,
          cert: credentials.certificateChain,
          key: credentials.privateKey,
          checkServerIdentity: () => undefined,
          ALPNProtocols: ['h2'],
          ...options,
        });
        socket.on('error', () => {});
        socket.resume();
        return socket;
      };

      it('are refused without a certificate', async () => {
        await expectRefused(rig, client, {
          socket: await dialTls({ cert: undefined, key: undefined }),
          code: 'CERTIFICATE_INVALID',
        });
      });

      it.each<[string, string[] | undefined]>([
        ['another protocol', ['http/1.1']],
        ['no protocol', undefined],
      ])('are refused when they offer %s', async (_what, ALPNProtocols) => {
        await expectRefused(rig, client, { socket: await dialTls({ ALPNProtocols }), code: 'TLS_FAILED' });
      });

      it('are refused with TLS 1.2', async () => {
        await expectRefused(rig, client, {
          socket: await dialTls({ maxVersion: 'TLSv1.2' }),
          code: 'TLS_FAILED',
        });
      });

      it('are refused when they send garbage instead of TLS', async () => {
        const socket = await dialTcp(server);
        socket.write('GET / HTTP/1.1\r\nHost: web\r\n\r\n');
        socket.resume();
        await expectRefused(rig, client, { socket, code: 'TLS_FAILED' });
      });

      it('are cut off when they send nothing', async () => {
        const socket = await dialTcp(server);
        socket.resume();
        await expectRefused(rig, client, { socket, code: 'TLS_FAILED' });
      });

      it('are cut off when they send a byte at a time', async () => {
        const socket = await dialTcp(server);
        socket.resume();
        const drip = setInterval(() => socket.write(Buffer.of(22)), 50);
        socket.on('close', () => clearInterval(drip));
        socket.write(Buffer.of(22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3));
        await expectRefused(rig, client, { socket, code: 'TLS_FAILED' });
      });

      it('are cut off when they leave in the middle of the handshake', async () => {
        const socket = await dialTcp(server);
        socket.end(Buffer.of(22, 3, 1, 2, 0));
        socket.resume();
        await expectRefused(rig, client, { socket, code: 'TLS_FAILED' });
      });

      it('cannot resume a session', async () => {
        const first = await dialTls({});
        const sessions: Buffer[] = [];
        first.on('session', (session: Buffer) => sessions.push(session));
        await once(first, 'secureConnect');
        await until(() => rig.b.stats().tunnelsIn === 1);
        await new Promise((resolve) => setTimeout(resolve, 20));
        for (const session of sessions) {
          const again = await dialTls({ session });
          await once(again, 'secureConnect');
          expect(again.isSessionReused()).toBe(false);
          again.destroy();
        }
        first.destroy();
      });

      it('are limited in the handshakes they may have under way', async () => {
        const few = await Rig.create(factory, { maxHandshakesPerPod: 3 });
        const pod = await few.pod('b', 'server');
        const sockets = await Promise.all(Array.from({ length: 5 }, () => few.dial(pod.hbone)));
        await until(() => few.rejected.length === 2);
        expect(few.rejected.map(({ error }) => error.code)).toEqual(['OVERLOADED', 'OVERLOADED']);
        for (const socket of sockets) socket.destroy();
        await few.close();
      });
    });

    it.each<[string, string[] | undefined]>([
      ['another protocol', ['http/1.1']],
      ['no protocol', undefined],
    ])('a client refuses a server that offers %s', async (_what, ALPNProtocols) => {
      const credentials = await rig.ca.credentials(server.pod.identity);
      const { certificateChain: cert, privateKey: key } = credentials;
      const impostor = createTlsServer({
        cert,
        key,
        ca: rig.ca.root,
        requestCert: true,
        ...(ALPNProtocols && { ALPNProtocols }),
      });
      impostor.on('secureConnection', (socket) => socket.on('error', () => {}));
      impostor.listen(0, '127.0.0.1');
      await once(impostor, 'listening');
      const via = { ip: server.hbone.ip, port: parsePort((impostor.address() as AddressInfo).port) };
      rig.routes = [{ ...rig.hboneRoute(server, server.plaintext), via: { ...via, ip: rig.loopback } }];
      expect(await ending(await rig.dial(client.outbound))).toBe('reset');
      expect(await failure()).toMatchObject({ hop: 'tls', error: { code: 'TLS_FAILED' } });
      impostor.close();
    });

    it('a client gives up a server that accepts and stays silent', async () => {
      const silent = await rig.application(() => {});
      rig.routes = [{ ...rig.hboneRoute(server, server.plaintext), via: silent }];
      const begun = Date.now();
      expect(await ending(await rig.dial(client.outbound))).toBe('reset');
      expect(Date.now() - begun).toBeGreaterThanOrEqual(1900);
      expect(await failure()).toMatchObject({ hop: 'dial', error: { code: 'DIAL_FAILED' } });
    });

    it.each(['client', 'server'] as const)(
      'a tunnel takes no new connections after its %s’s certificate expired, and those it has live on',
      async (end) => {
        const { identity } = { client, server }[end].pod;
        const seconds = 3;
        // Certificates know whole seconds only.
        const notAfter = new Date(Math.ceil(Date.now() / 1000 + seconds) * 1000);
        rig.credentials.set(identity, await rig.ca.credentials(identity, { notAfter }));
        const standing = await rig.dial(client.outbound);
        expect(await echo(standing, 'before')).toBe('before');
        expect(rig.a.stats().tunnelsOut).toBe(1);
        rig.credentials.set(identity, await rig.ca.credentials(identity));
        await until(() => Date.now() > notAfter.getTime() + 200);
        expect(await echo(await rig.dial(client.outbound), 'later')).toBe('later');
        expect(rig.a.stats().tunnelsOut).toBe(2);
        expect(await echo(standing, 'still')).toBe('still');
      },
    );

    it('renewed certificates serve new connections, and old connections live on', async () => {
      const standing = await rig.dial(client.outbound);
      standing.write('before');
      await once(standing, 'data');
      const fresh = await rig.ca.credentials(server.pod.identity);
      rig.credentials.set(server.pod.identity, fresh);
      rig.credentials.set(client.pod.identity, await rig.ca.credentials(client.pod.identity));
      const seen = connectTls({
        host: server.hbone.ip,
        port: server.hbone.port,
        ca: rig.ca.root,
        cert: fresh.certificateChain,
        key: fresh.privateKey,
        checkServerIdentity: () => undefined,
        ALPNProtocols: ['h2'],
      });
      await once(seen, 'secureConnect');
      expect(seen.getPeerX509Certificate()?.raw).toEqual(leafBytes(fresh));
      seen.destroy();
      standing.end('after');
      expect(String(await readAll(standing))).toBe('after');
    });
  });
}

async function dialTcp(server: RigPod): Promise<Socket> {
  const socket = connectTcp(server.hbone.port, server.hbone.ip);
  socket.on('error', () => {});
  await once(socket, 'connect');
  return socket;
}

async function stillServes(rig: Rig, client: RigPod): Promise<boolean> {
  const socket = await rig.dial(client.outbound);
  socket.end('unharmed');
  return String(await readAll(socket)) === 'unharmed';
}

async function expectRefused(
  rig: Rig,
  client: RigPod,
  stranger: { socket: Socket; code: ErrorCode },
): Promise<void> {
  await until(() => stranger.socket.closed || stranger.socket.readableEnded);
  await until(() => rig.rejected.length > 0);
  expect(rig.rejected).toMatchObject([{ error: { code: stranger.code } }]);
  expect(rig.b.stats().tunnelsIn).toBe(0);
  expect(await stillServes(rig, client)).toBe(true);
}
