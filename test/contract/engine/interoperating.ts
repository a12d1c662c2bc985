/** The other side may be anybody's HTTP/2: here Node's own, as client and as server. */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { once } from 'node:events';
import { connect, createSecureServer, type ClientHttp2Session, type ClientHttp2Stream } from 'node:http2';
import { connect as connectTcp, type AddressInfo, type Socket } from 'node:net';
import { parsePort } from '../../../src/base/ip.ts';
import { parseSpiffeId } from '../../../src/model/identity.ts';
import { ending, readAll, Rig, until, type EngineFactory, type RigPod } from './rig.ts';
import type { SocketAddress } from '../../../src/base/ip.ts';

const peer = parseSpiffeId('spiffe://cluster.local/ns/test/sa/peer');

export function describeInteroperating(factory: EngineFactory): void {
  describe('a foreign HBONE client', () => {
    let rig: Rig;
    let server: RigPod;
    let app: SocketAddress;
    let session: ClientHttp2Session;
    beforeEach(async () => {
      rig = await Rig.create(factory);
      server = await rig.pod('b', 'server');
      app = await rig.application((socket) => socket.pipe(socket));
      const { certificateChain: cert, privateKey: key } = await rig.ca.credentials(peer);
      session = connect(`https://${server.hbone.ip}:${server.hbone.port}`, {
        cert,
        key,
        ca: rig.ca.root,
        checkServerIdentity: () => undefined,
        settings: { enablePush: false },
      });
      session.on('error', () => {});
      await once(session, 'remoteSettings');
    });
    afterEach(async () => {
      session.destroy();
      await rig.close();
    });

    const ask = async (
      headers: Record<string, string>,
      options = {},
    ): Promise<[ClientHttp2Stream, number]> => {
      const stream = session.request(headers, options);
      stream.on('error', () => {});
      const [response] = (await once(stream, 'response')) as [Record<string, unknown>];
      return [stream, Number(response[':status'])];
    };
    const target = (): string => `127.0.0.1:${app.port}`;

    it('sees the windows and limits that HBONE peers expect', () => {
      expect(session.remoteSettings).toMatchObject({
        initialWindowSize: 4 << 20,
        maxConcurrentStreams: 200,
        maxFrameSize: 1 << 20,
        maxHeaderListSize: 64 << 10,
      });
    });

    it('is carried both ways, to the end', async () => {
      const [stream, status] = await ask({ ':method': 'CONNECT', ':authority': target() });
      expect(status).toBe(200);
      const sent = Buffer.alloc(5_000_000, 'xyz');
      stream.end(sent);
      const chunks: Buffer[] = [];
      for await (const chunk of stream) chunks.push(chunk as Buffer);
      expect(Buffer.concat(chunks).equals(sent)).toBe(true);
      expect((await rig.finished(1))[0]?.finished[0]?.failure).toBeUndefined();
    });

    it('gets a 400 for anything but CONNECT, and may go on', async () => {
      const [, status] = await ask({
        ':method': 'GET',
        ':path': '/',
        ':scheme': 'https',
        ':authority': target(),
      });
      expect(status).toBe(400);
      await until(() => rig.rejected.length === 1);
      expect(rig.rejected[0]?.error.code).toBe('BAD_CONNECT');
      expect(rig.told).toHaveLength(0);
      const [stream, next] = await ask({ ':method': 'CONNECT', ':authority': target() });
      expect(next).toBe(200);
      stream.close();
    });

    it('gets the response headers of the decision, and has its own passed on with duplicates joined', async () => {
      rig.decide = (arrival, observer) => ({
        ...rig.forward(arrival, observer),
        responseHeaders: [['baggage', 'service.name=web']],
      });
      const stream = session.request({
        ':method': 'CONNECT',
        ':authority': target(),
        baggage: ['a=1', 'b=2'],
        traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00',
      });
      const [response] = (await once(stream, 'response')) as [Record<string, unknown>];
      expect(response['baggage']).toBe('service.name=web');
      const arrival = rig.told[0]?.arrival;
      expect(arrival?.type === 'hbone' && arrival.headers.get('baggage')?.replaceAll(' ', '')).toBe(
        'a=1,b=2',
      );
      expect(arrival?.type === 'hbone' && arrival.peerIdentity).toBe(peer);
      stream.close();
    });

    it('is reset when the application resets', async () => {
      const rude = await rig.application((socket) => socket.once('data', () => socket.resetAndDestroy()));
      const [stream] = await ask({ ':method': 'CONNECT', ':authority': `127.0.0.1:${rude.port}` });
      stream.write('x');
      await until(() => stream.closed);
      expect(stream.rstCode).toBe(10); // CONNECT_ERROR
    });

    it('ends the application’s connection by cancelling its stream', async () => {
      const served = Promise.withResolvers<Socket>();
      const other = await rig.application((socket) => served.resolve(socket.resume()));
      const [stream] = await ask({ ':method': 'CONNECT', ':authority': `127.0.0.1:${other.port}` });
      stream.close(8); // Node half-closes, then sends RST_STREAM with CANCEL.
      expect((await rig.finished(1))[0]?.finished[0]?.failure?.error.code).toBe('STREAM_RESET');
      const application = await served.promise;
      await until(() => {
        application.write('anybody there?'); // after an end, only a write notices a reset
        return application.errored !== null;
      });
    });

    it('resets every application by breaking HTTP/2, and others go on', async () => {
      const seen = Promise.withResolvers<string>();
      const other = await rig.application((socket) => seen.resolve(ending(socket)));
      await ask({ ':method': 'CONNECT', ':authority': `127.0.0.1:${other.port}` });
      session.socket.destroy();
      session.destroy();
      expect(await seen.promise).toBe('reset');
      const told = await rig.finished(1);
      expect(['PEER_GONE', 'STREAM_RESET']).toContain(told[0]?.finished[0]?.failure?.error.code);
    });
  });

  describe('a foreign HBONE server', () => {
    it('is spoken to as HBONE servers expect', async () => {
      const rig = await Rig.create(factory);
      const client = await rig.pod('a', 'client');
      const { certificateChain: cert, privateKey: key } = await rig.ca.credentials(peer);
      const server = createSecureServer({
        cert,
        key,
        ca: rig.ca.root,
        requestCert: true,
        rejectUnauthorized: true,
      });
      const app = await rig.application((socket) => socket.pipe(socket));
      const asked: Record<string, unknown>[] = [];
      server.on('stream', (stream, headers) => {
        asked.push(headers);
        const far = connectTcp({ port: app.port, host: app.ip, allowHalfOpen: true });
        stream.respond({ ':status': 200 });
        stream.pipe(far).pipe(stream);
      });
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      const via = { ip: rig.loopback, port: parsePort((server.address() as AddressInfo).port) };
      const headers = [['baggage', 'k8s.namespace.name=test']] as const;
      rig.routes = [{ type: 'hbone', via, target: app, expectedIdentities: [peer], headers }];
      const socket = await rig.dial(client.outbound);
      const sent = Buffer.alloc(5_000_000, 'xyz');
      socket.end(sent);
      expect((await readAll(socket)).equals(sent)).toBe(true);
      expect(asked).toEqual([
        expect.objectContaining({
          ':method': 'CONNECT',
          ':authority': `127.0.0.1:${app.port}`,
          baggage: headers[0][1],
        }),
      ]);
      expect(asked[0]).not.toHaveProperty(':path');
      expect(asked[0]).not.toHaveProperty(':scheme');
      await rig.close();
      server.close();
    });
  });
}
