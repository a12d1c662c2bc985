/** How pods and engines come and go, and that nothing of them stays behind. */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { connect } from 'node:net';
import { readdirSync } from 'node:fs';
import { MeshError } from '../../../src/base/errors.ts';
import { parseSpiffeId } from '../../../src/model/identity.ts';
import { echo, ending, quiet, readAll, Rig, until, type EngineFactory, type RigPod } from './rig.ts';
import type { SocketAddress } from '../../../src/base/ip.ts';

export function describeLiving(factory: EngineFactory): void {
  describe('pods and engines', () => {
    let rig: Rig;
    let client: RigPod;
    let server: RigPod;
    beforeEach(async () => {
      rig = await Rig.create(factory);
      client = await rig.pod('a', 'client');
      server = await rig.pod('b', 'server');
      rig.routes = [rig.hboneRoute(server, await rig.application((socket) => socket.pipe(socket)))];
    });
    afterEach(() => rig.close());

    it('a removed pod’s connections end with POD_REMOVED, and its ports are closed', async () => {
      const socket = await rig.dial(client.outbound);
      await echo(socket, 'x');
      rig.b.removePod(server.pod.uid);
      expect(await ending(socket)).toBe('reset');
      const told = await rig.finished(2);
      expect(told[1]?.finished[0]?.failure?.error.code).toBe('POD_REMOVED');
      const open = await Promise.all([server.outbound, server.plaintext, server.hbone].map(isOpen));
      expect(open).toEqual([false, false, false]);
      expect(rig.b.stats()).toEqual({ connections: 0, tunnelsOut: 0, tunnelsIn: 0, bufferedBytes: 0 });
    });

    it('a retired pod accepts nothing, and its connections go on to their end', async () => {
      const socket = await rig.dial(client.outbound);
      await echo(socket, 'x');
      let isOver = false;
      const over = rig.b.retirePod(server.pod.uid).then(() => (isOver = true));
      expect(await isOpen(server.hbone)).toBe(false);
      expect(await echo(socket, 'still')).toBe('still');
      expect(isOver).toBe(false);
      socket.end();
      expect(await ending(socket)).toBe('ended');
      await over;
      const told = await rig.finished(2);
      expect(told.map(({ finished }) => finished[0]?.failure)).toEqual([undefined, undefined]);
      expect(rig.b.stats()).toEqual({ connections: 0, tunnelsOut: 0, tunnelsIn: 0, bufferedBytes: 0 });
    });

    it('a retired pod’s connections end when it is removed', async () => {
      const socket = await rig.dial(client.outbound);
      await echo(socket, 'x');
      const over = rig.b.retirePod(server.pod.uid);
      rig.b.removePod(server.pod.uid);
      expect(await ending(socket)).toBe('reset');
      await over;
    });

    it('removing a pod leaves the others alone', async () => {
      const other = await rig.pod('b', 'other');
      const socket = await rig.dial(client.outbound);
      await echo(socket, 'x');
      rig.b.removePod(other.pod.uid);
      expect(await echo(socket, 'still')).toBe('still');
    });

    it('a pod that is told again keeps its sockets and speaks under its new identity', async () => {
      const renamed = parseSpiffeId('spiffe://cluster.local/ns/test/sa/renamed');
      rig.credentials.set(renamed, await rig.ca.credentials(renamed));
      rig.a.addPod({ ...client.pod, identity: renamed }, client.listeners);
      await echo(await rig.dial(client.outbound), 'x');
      expect(rig.told[1]?.arrival).toMatchObject({ type: 'hbone', peerIdentity: renamed });
    });

    it('a draining engine accepts nothing, lets connections finish, and then is done', async () => {
      const socket = await rig.dial(client.outbound);
      await echo(socket, 'x');
      const drained = rig.a.drain(new AbortController().signal);
      expect(await isOpen(client.outbound)).toBe(false);
      expect(await echo(socket, 'still')).toBe('still');
      socket.end();
      await readAll(socket);
      await drained;
      for (const told of await rig.finished(2)) expect(told.finished).toMatchObject([{ failure: undefined }]);
    });

    it('a draining engine is done only when the last bytes have left', async () => {
      const use = async (bytes: number): Promise<void> => {
        const app = await rig.application((socket) => socket.resume().end(Buffer.alloc(bytes, 'x')));
        rig.routes = [rig.hboneRoute(server, app)];
      };
      // Nobody reads them: together they use up what the peer takes of the whole connection.
      await use(24 << 20);
      const stalled = await Promise.all(Array.from({ length: 12 }, () => rig.dial(client.outbound)));
      await quiet(() => sum(rig.told.map(({ established }) => established?.counts().received ?? 0)));
      await use(40_000);
      const last = await rig.dial(client.outbound);
      last.end();
      await until(() => rig.told.length === 26 && rig.told.at(-1)?.established?.counts().received === 40_000);
      const drained = rig.b.drain(new AbortController().signal);
      for (const socket of stalled) socket.resetAndDestroy();
      expect((await readAll(last)).length).toBe(40_000);
      await drained;
      expect(rig.b.stats()).toMatchObject({ connections: 0, tunnelsIn: 0, tunnelsOut: 0 });
    });

    it('a draining engine closes a tunnel only when its peer has all of it, however slow the link', async () => {
      const [first, last] = [6 << 20, 3 << 20];
      const app = await rig.application((socket) =>
        socket.on('data', (data) => socket.write(data)).on('end', () => socket.end(Buffer.alloc(last, 'x'))),
      );
      const via = await rig.slowLink(server.hbone);
      rig.routes = [{ ...rig.hboneRoute(server, app), via }];
      const socket = await rig.dial(client.outbound);
      await until(() => rig.told[1]?.established !== undefined);
      const drained = rig.b.drain(new AbortController().signal);
      // So much that what follows makes the client return credit: bytes that reach a server which is done.
      let received = 0;
      socket.on('data', ({ length }) => (received += length));
      socket.write(Buffer.alloc(first, 'x'));
      await until(() => received === first);
      socket.end();
      expect(await ending(socket)).toBe('ended');
      expect(received).toBe(first + last);
      await drained;
    });

    it('a draining engine ends at its deadline what is left', async () => {
      const socket = await rig.dial(client.outbound);
      await echo(socket, 'x');
      await rig.a.drain(AbortSignal.timeout(50));
      expect(await ending(socket)).toBe('reset');
      expect((await rig.finished(2))[0]?.finished[0]?.failure?.error.code).toBe('DRAINING');
    });

    it('an engine without connections drains at once', async () => {
      await Promise.all([rig.a, rig.b].map((engine) => engine.drain(new AbortController().signal)));
    });

    it('a destroyed engine ends everything with the reason given', async () => {
      const socket = await rig.dial(client.outbound);
      await echo(socket, 'x');
      rig.a.destroy(new MeshError('INTERNAL', 'a test'));
      expect(await ending(socket)).toBe('reset');
      expect((await rig.finished(2))[0]?.finished[0]?.failure?.error.code).toBe('INTERNAL');
    });

    it('nothing stays open after many connections of every fate', async () => {
      const closed = await rig.closedPort();
      const good = rig.routes;
      const before = openDescriptors();
      for (let round = 0; round < 30; round++) {
        rig.routes = round % 3 === 0 ? [rig.hboneRoute(server, closed)] : good;
        const sockets = await Promise.all(Array.from({ length: 5 }, () => rig.dial(client.outbound)));
        for (const [i, socket] of sockets.entries()) {
          if (i === 0) socket.resetAndDestroy();
          else if (i === 1) socket.destroy();
          else socket.end('x');
        }
        await Promise.all(sockets.slice(2).map(ending));
      }
      await until(() => rig.a.stats().connections + rig.b.stats().connections === 0);
      rig.a.destroy(new MeshError('DRAINING', 'done'));
      rig.b.destroy(new MeshError('DRAINING', 'done'));
      // The listeners, three a pod, were open before.
      await until(() => openDescriptors() <= before - 6);
    });
  });
}

const openDescriptors = (): number => readdirSync('/proc/self/fd').length;

const isOpen = (at: SocketAddress): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(at.port, at.ip, () => resolve(true));
    socket.on('connect', () => socket.destroy());
    socket.on('error', () => resolve(false));
  });

const sum = (numbers: readonly number[]): number => numbers.reduce((total, each) => total + each, 0);
