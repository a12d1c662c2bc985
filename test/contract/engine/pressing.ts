/** Back-pressure: full pipes in both directions make progress, slow readers cost bounded memory, dead ones are noticed. */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { Socket } from 'node:net';
import { crc32 } from 'node:zlib';
import type { EngineOptions } from '../../../src/net/tunnel/options.ts';
import type { SocketAddress } from '../../../src/base/ip.ts';
import { echo, ending, quiet, readAll, Rig, until, type EngineFactory, type RigPod } from './rig.ts';

const mebibyte = 1 << 20;
/** Half a MiB of bytes that do not repeat in step with any frame or buffer. */
const block = Buffer.from(Array.from({ length: mebibyte / 2 }, (_, i) => (i * 31 + (i >> 8)) & 255));

export function describePressing(factory: EngineFactory): void {
  describe('under pressure', () => {
    let rig: Rig;
    let client: RigPod;
    let server: RigPod;
    const route = (app: SocketAddress) => (rig.routes = [rig.hboneRoute(server, app)]);
    const setUp = async (options: Partial<EngineOptions> = {}): Promise<void> => {
      rig = await Rig.create(factory, options);
      client = await rig.pod('a', 'client');
      server = await rig.pod('b', 'server');
    };
    beforeEach(() => setUp());
    afterEach(() => rig.close());

    // Windows are 4 MiB a stream and 16 MiB a connection: every run fills them, which is where others lock up.
    it.each([
      { connections: 1, blocks: 52, runs: 15 },
      { connections: 50, blocks: 1, runs: 15 },
      { connections: 1, blocks: 208, runs: 1 },
      { connections: 50, blocks: 5, runs: 1 },
    ])(
      '$connections connections with $blocks half MiB each way at once finish in $runs of $runs runs',
      async ({ connections, blocks, runs }) => {
        const results: Promise<number>[] = [];
        const app = await rig.application((socket) => results.push(swap(socket, blocks)));
        route(app);
        for (let run = 0; run < runs; run++) {
          const sockets = await Promise.all(
            Array.from({ length: connections }, () => rig.dial(client.outbound)),
          );
          results.push(...sockets.map((socket) => swap(socket, blocks)));
          await Promise.all(sockets.map((socket) => new Promise((closed) => socket.on('close', closed))));
        }
        const sums = await Promise.all(results);
        expect(sums).toHaveLength(connections * runs * 2);
        expect(new Set(sums)).toEqual(new Set([expectedSum(blocks)]));
      },
      180_000,
    );

    it('a server that reads nothing holds up its own client only, within bounded memory', async () => {
      const stalling: Socket[] = [];
      const app = await rig.application((socket) => {
        if (stalling.length === 0) stalling.push(socket.pause());
        else socket.pipe(socket);
      });
      route(app);
      const stalled = await rig.dial(client.outbound);
      let accepted = 0;
      const pour = (): void => {
        while (stalled.write(block, () => (accepted += block.length))) if (stalled.destroyed) return;
        stalled.once('drain', pour);
      };
      pour();
      await quiet(() => accepted);
      expect(accepted).toBeLessThan(32 * mebibyte);
      const buffered = rig.a.stats().bufferedBytes + rig.b.stats().bufferedBytes;
      expect(buffered).toBeGreaterThan(mebibyte);
      expect(buffered).toBeLessThan(8 * mebibyte);
      expect(await echo(await rig.dial(client.outbound), 'not stalled')).toBe('not stalled');
      stalling[0]?.resetAndDestroy();
      await until(() => rig.a.stats().bufferedBytes + rig.b.stats().bufferedBytes === 0);
    });

    it('a client that reads nothing stops the server, and gets everything when it goes on', async () => {
      const app = await rig.application((socket) => {
        for (let i = 0; i < 80; i++) socket.write(block);
        socket.end();
      });
      route(app);
      const socket = await rig.dial(client.outbound);
      await quiet(() => rig.told[0]?.established?.counts().received ?? 0);
      expect(rig.told[0]?.established?.counts().received).toBeLessThan(16 * mebibyte);
      expect((await readAll(socket)).length).toBe(40 * mebibyte);
    });

    it('an application may read its second connection before its first', async () => {
      const waiting: Socket[] = [];
      const app = await rig.application((socket) => waiting.push(socket.pause()));
      route(app);
      const sockets = await Promise.all([rig.dial(client.outbound), rig.dial(client.outbound)]);
      for (const socket of sockets) {
        for (let i = 0; i < 16; i++) socket.write(block);
        socket.end();
      }
      await until(() => waiting.length === 2);
      for (const socket of waiting.toReversed()) {
        expect((await readAll(socket)).length).toBe(8 * mebibyte);
        socket.end();
      }
    });

    it.each(['client', 'server'] as const)(
      'the %s’s node dying in a transfer resets the other side',
      async (who) => {
        const seen = Promise.withResolvers<string>();
        const app = await rig.application((socket) => {
          seen.resolve(ending(socket));
          pourInto(socket);
        });
        route(app);
        const socket = await rig.dial(client.outbound);
        pourInto(socket);
        const clientSaw = ending(socket);
        await until(() => (rig.told[1]?.established?.counts().sent ?? 0) > mebibyte);
        if (who === 'client') rig.a.removePod(client.pod.uid);
        else rig.b.removePod(server.pod.uid);
        expect(await Promise.all([clientSaw, seen.promise])).toEqual(['reset', 'reset']);
        const told = await rig.finished(2);
        expect(told.map((each) => each.finished.length)).toEqual([1, 1]);
        const codes = told.map((each) => each.finished[0]?.failure?.error.code);
        expect(codes[who === 'client' ? 0 : 1]).toBe('POD_REMOVED');
        expect(['STREAM_RESET', 'PEER_GONE']).toContain(codes[who === 'client' ? 1 : 0]);
      },
    );

    it('a client that resets while the server reads nothing is noticed soon', async () => {
      const app = await rig.application((socket) => void socket.pause());
      route(app);
      const socket = await rig.dial(client.outbound);
      pourInto(socket);
      await until(() => rig.told.length === 2 && rig.told.every(({ established }) => established));
      await quiet(() => rig.told[0]?.established?.counts().sent ?? 0);
      socket.resetAndDestroy();
      const [outbound] = await rig.finished(2);
      expect(outbound?.finished[0]?.failure?.error.code).toBe('APPLICATION_RESET');
      expect(rig.a.stats().connections + rig.b.stats().connections).toBe(0);
    });

    it('the greediest connection gives way when a pod’s hold too much, and others go on', async () => {
      await rig.close();
      await setUp({ maxUnsentBytesPerPod: mebibyte });
      const deaf = await rig.application((socket) => void socket.pause());
      route(await rig.application((socket) => socket.pipe(socket)));
      const modest = await rig.dial(client.outbound);
      await until(() => rig.told.length === 2);
      route(deaf);
      const greedy = await rig.dial(client.outbound);
      pourInto(greedy);
      expect(await ending(greedy)).toBe('reset');
      const codes = (await rig.finished(2)).map((each) => each.finished[0]?.failure?.error.code);
      expect(codes).toContain('OVERLOADED');
      modest.end('still served');
      expect(String(await readAll(modest))).toBe('still served');
    });

    it('what waits to be sent to a peer that takes nothing counts too, and the greediest give way', async () => {
      await rig.close();
      await setUp({ maxUnsentBytesPerPod: mebibyte });
      const app = await rig.application((socket) => socket.pipe(socket));
      const mute = await rig.muteProxy(server.hbone);
      rig.routes = [{ ...rig.hboneRoute(server, app), via: mute.at }];
      // Each stream may queue a quarter of a MiB.
      const sockets = await Promise.all(Array.from({ length: 12 }, () => rig.dial(client.outbound)));
      await Promise.all(sockets.map((socket) => echo(socket, 'x')));
      mute.silence();
      sockets.forEach(pourInto);
      const overloaded = (): number =>
        rig.told.filter(({ finished }) => finished[0]?.failure?.error.code === 'OVERLOADED').length;
      await until(() => overloaded() > 0);
      await quiet(() => rig.a.stats().bufferedBytes + overloaded());
      expect(rig.a.stats().bufferedBytes).toBeLessThan(1.25 * mebibyte);
      expect(rig.a.stats().connections).toBeGreaterThan(0);
    });

    it('a connection on which nobody decides is refused in time', async () => {
      await rig.close();
      await setUp({ decisionTimeoutMs: 100 });
      rig.decide = () => new Promise(() => {});
      expect(await ending(await rig.dial(client.outbound))).toBe('reset');
      expect(rig.rejected).toMatchObject([{ error: { code: 'TIMEOUT' } }]);
      expect(rig.a.stats().connections).toBe(0);
    });

    it('a half-closed connection on which nothing moves is ended, and leaks nothing', async () => {
      await rig.close();
      await setUp({ halfCloseLingerMs: 300 });
      const app = await rig.application((socket) => socket.resume());
      route(app);
      const socket = await rig.dial(client.outbound);
      socket.end('bye');
      expect(await ending(socket)).toBe('reset');
      const told = await rig.finished(2);
      expect(told.map((each) => each.finished[0]?.failure?.error.code)).toContain('TIMEOUT');
      await until(() => rig.a.stats().connections + rig.b.stats().connections === 0);
    });

    it('a half-closed connection that still carries bytes lives on', async () => {
      await rig.close();
      await setUp({ halfCloseLingerMs: 300 });
      const app = await rig.application((socket) => {
        socket.resume();
        let ticks = 0;
        const timer = setInterval(() => {
          socket.write('.');
          if (++ticks === 12) {
            clearInterval(timer);
            socket.end();
          }
        }, 50);
      });
      route(app);
      const socket = await rig.dial(client.outbound);
      socket.end('bye');
      expect(String(await readAll(socket))).toBe('............');
    });
  });
}

/** Sends `blocks` and reads to the end at the same time; the checksum of what came. */
async function swap(socket: Socket, blocks: number): Promise<number> {
  let left = blocks;
  const send = (): void => {
    while (left > 0) {
      left--;
      if (!socket.write(block)) {
        socket.once('drain', send);
        return;
      }
    }
    socket.end();
  };
  send();
  let sum = 0;
  // What is read to its end must not be destroyed: our own bytes may still be leaving.
  const chunks = socket.iterator({ destroyOnReturn: false });
  for await (const chunk of chunks) sum = crc32(chunk as Buffer, sum);
  return sum;
}

function expectedSum(blocks: number): number {
  let sum = 0;
  for (let i = 0; i < blocks; i++) sum = crc32(block, sum);
  return sum;
}

function pourInto(socket: Socket): void {
  while (!socket.destroyed && socket.write(block));
  if (!socket.destroyed) socket.once('drain', () => pourInto(socket));
}
