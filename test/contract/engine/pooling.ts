/** How connections share tunnels, and how tunnels come and go. */
import { afterEach, describe, expect, it } from '@jest/globals';
import type { Socket } from 'node:net';
import type { EngineOptions } from '../../../src/net/tunnel/options.ts';
import { echo, ending, readAll, Rig, until, type EngineFactory, type RigPod } from './rig.ts';

export function describePooling(factory: EngineFactory): void {
  describe('tunnels', () => {
    let rig: Rig;
    let client: RigPod;
    let server: RigPod;
    afterEach(() => rig.close());
    const setUp = async (options: Partial<EngineOptions> = {}): Promise<void> => {
      rig = await Rig.create(factory, options);
      client = await rig.pod('a', 'client');
      server = await rig.pod('b', 'server');
      rig.routes = [rig.hboneRoute(server, await rig.application((socket) => socket.pipe(socket)))];
    };
    const dialMany = (count: number): Promise<Socket[]> =>
      Promise.all(Array.from({ length: count }, () => rig.dial(client.outbound)));

    it('are shared by up to 100 connections, and dialled once for all of them', async () => {
      await setUp();
      await dialMany(100);
      await until(() => rig.told.filter((told) => told.established).length === 200);
      expect(rig.a.stats()).toMatchObject({ connections: 100, tunnelsOut: 1 });
      await Promise.all((await dialMany(150)).map((socket) => echo(socket, 'x')));
      expect(rig.a.stats()).toMatchObject({ connections: 250, tunnelsOut: 3 });
      expect(rig.b.stats()).toMatchObject({ connections: 250, tunnelsIn: 3 });
    });

    it('suffice for a burst of connections that all wait for the first dial', async () => {
      await setUp();
      const gate = Promise.withResolvers<void>();
      rig.decide = async (arrival, observer) => {
        if (arrival.type === 'outbound') await gate.promise;
        return rig.forward(arrival, observer);
      };
      const sockets = await dialMany(230);
      await until(() => rig.told.length === 230);
      gate.resolve();
      const answers = await Promise.all(sockets.map((socket) => echo(socket, 'x')));
      expect(answers).toEqual(Array(230).fill('x'));
      expect(rig.a.stats().tunnelsOut).toBe(3);
    });

    it('are used again by later connections', async () => {
      await setUp();
      for (let i = 0; i < 120; i++) {
        const socket = await rig.dial(client.outbound);
        socket.end('x');
        await readAll(socket);
      }
      expect(rig.a.stats().tunnelsOut).toBe(1);
    });

    it('are not shared between pods, nor between expected identities', async () => {
      await setUp();
      const other = await rig.pod('a', 'other');
      await echo(await rig.dial(client.outbound), 'x');
      await echo(await rig.dial(other.outbound), 'x');
      const [route] = rig.routes;
      if (route?.type !== 'hbone') throw new Error('unexpected route');
      rig.routes = [{ ...route, expectedIdentities: [server.pod.identity, other.pod.identity] }];
      await echo(await rig.dial(client.outbound), 'x');
      expect(rig.a.stats().tunnelsOut).toBe(3);
    });

    it('are given up when no connection has used them for a while', async () => {
      await setUp({ idleReleaseMs: 100 });
      const socket = await rig.dial(client.outbound);
      await echo(socket, 'x');
      await new Promise((resolve) => setTimeout(resolve, 250));
      expect(rig.a.stats().tunnelsOut).toBe(1);
      socket.end();
      await until(() => rig.a.stats().tunnelsOut === 0 && rig.b.stats().tunnelsIn === 0);
    });

    it('that the peer is draining take no new connections, and keep those they have', async () => {
      await setUp();
      const standing = await rig.dial(client.outbound);
      await echo(standing, 'x');
      const done = new AbortController();
      const drained = rig.b.drain(done.signal);
      await new Promise((resolve) => setTimeout(resolve, 50));
      expect(await ending(await rig.dial(client.outbound))).toBe('reset');
      expect(await echo(standing, 'still')).toBe('still');
      standing.end();
      await readAll(standing);
      await drained;
    });

    it('that are being dialled when the engine drains still carry who waits for them', async () => {
      await setUp();
      const sockets = await dialMany(20);
      await until(() => rig.told.filter(({ arrival }) => arrival.type === 'outbound').length === 20);
      // From the end of the TLS handshake on there is a tunnel, and a moment later the peer has said that it is ready.
      while (rig.a.stats().tunnelsOut === 0) await new Promise((resolve) => setImmediate(resolve));
      const drained = rig.a.drain(AbortSignal.timeout(20_000));
      expect(await Promise.all(sockets.map((socket) => echo(socket, 'x')))).toEqual(Array(20).fill('x'));
      for (const socket of sockets) socket.end();
      await drained;
    });

    it('that died while idle are replaced without the application noticing', async () => {
      await setUp();
      const first = await rig.dial(client.outbound);
      first.end('x');
      await readAll(first);
      rig.b.removePod(server.pod.uid);
      const again = await rig.pod('b', 'server');
      const [route] = rig.routes;
      if (route?.type !== 'hbone') throw new Error('unexpected route');
      rig.routes = [{ ...route, via: again.hbone }];
      const socket = await rig.dial(client.outbound);
      expect(await echo(socket, 'new')).toBe('new');
    });

    it('that are lost before they answer are dialled again, twice at most', async () => {
      await setUp();
      const proxy = await rig.muteProxy(server.hbone);
      const [route] = rig.routes;
      if (route?.type !== 'hbone') throw new Error('unexpected route');
      rig.routes = [{ ...route, via: proxy.at }];
      let [losses, asked] = [2, 0];
      rig.decide = (arrival, observer) => {
        if (arrival.type === 'hbone') asked += 1;
        if (arrival.type === 'hbone' && losses-- > 0) proxy.cut();
        return rig.forward(arrival, observer);
      };
      expect(await echo(await rig.dial(client.outbound), 'x')).toBe('x');
      expect(asked).toBe(3);

      proxy.cut();
      await until(() => rig.a.stats().tunnelsOut === 0);
      [losses, asked] = [Infinity, 0];
      expect(await ending(await rig.dial(client.outbound))).toBe('reset');
      expect(asked).toBe(3);
    });

    it('that answer no PING any more end their connections', async () => {
      await setUp({ keepaliveIntervalMs: 50 });
      const mute = await rig.muteProxy(server.hbone);
      const [route] = rig.routes;
      if (route?.type !== 'hbone') throw new Error('unexpected route');
      rig.routes = [{ ...route, via: mute.at }];
      const socket = await rig.dial(client.outbound);
      await echo(socket, 'x');
      await new Promise((resolve) => setTimeout(resolve, 400));
      expect(rig.a.stats().connections).toBe(1);
      mute.silence();
      expect(await ending(socket)).toBe('reset');
      const told = await rig.finished(2);
      for (const each of told) expect(each.finished[0]?.failure?.error.code).toBe('PEER_GONE');
    });

    it('are limited per pod', async () => {
      await setUp({ maxConnectionsPerPod: 5 });
      const standing = await dialMany(5);
      await Promise.all(standing.map((socket) => echo(socket, 'x')));
      expect(await ending(await rig.dial(client.outbound))).toBe('reset');
      expect(rig.rejected).toMatchObject([{ error: { code: 'OVERLOADED' } }]);
    });
  });
}
