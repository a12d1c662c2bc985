/** What an application notices of being carried: nothing but its bytes, ends and resets. */
import { describe, expect, it } from '@jest/globals';
import { once } from 'node:events';
import { MeshError } from '../../../src/base/errors.ts';
import type { Route } from '../../../src/net/engine.ts';
import { ending, readAll, Rig, until, type EngineFactory, type RigPod } from './rig.ts';
import type { SocketAddress } from '../../../src/base/ip.ts';

type Way = 'through a tunnel' | 'directly';

export function describeCarrying(factory: EngineFactory): void {
  const withRig =
    (test: (rig: Rig, client: RigPod, route: (to: SocketAddress) => Route) => Promise<void>, way: Way) =>
    async () => {
      const rig = await Rig.create(factory);
      try {
        const client = await rig.pod('a', 'client');
        const server = await rig.pod('b', 'server');
        await test(rig, client, (to) =>
          way === 'directly' ? { type: 'direct', target: to, source: undefined } : rig.hboneRoute(server, to),
        );
      } finally {
        await rig.close();
      }
    };

  describe.each<{ way: Way; records: number }>([
    { way: 'through a tunnel', records: 2 },
    { way: 'directly', records: 1 },
  ])('a connection carried $way', ({ way, records }) => {
    it(
      'delivers every byte both ways and counts them',
      withRig(async (rig, client, route) => {
        const app = await rig.application((socket) => socket.pipe(socket));
        rig.routes = [route(app)];
        const socket = await rig.dial(client.outbound);
        const sent = Buffer.alloc(3_000_001, 'abcdefg');
        socket.end(sent);
        expect((await readAll(socket)).equals(sent)).toBe(true);
        for (const told of await rig.finished(records)) {
          expect(told.finished).toEqual([
            { counts: { sent: sent.length, received: sent.length }, failure: undefined },
          ]);
        }
      }, way),
    );

    it(
      'lets the server answer after the client has half-closed',
      withRig(async (rig, client, route) => {
        const app = await rig.application((socket) => {
          void readAll(socket).then((request) => socket.end(`got ${request.length}`));
        });
        rig.routes = [route(app)];
        const socket = await rig.dial(client.outbound);
        socket.end('12345');
        expect(String(await readAll(socket))).toBe('got 5');
        await rig.finished(records);
      }, way),
    );

    it(
      'lets the client go on after the server has half-closed',
      withRig(async (rig, client, route) => {
        const received = Promise.withResolvers<Buffer>();
        const app = await rig.application((socket) => {
          socket.end('bye');
          received.resolve(readAll(socket));
        });
        rig.routes = [route(app)];
        const socket = await rig.dial(client.outbound);
        expect(String(await readAll(socket))).toBe('bye');
        socket.end('still here');
        expect(String(await received.promise)).toBe('still here');
        await rig.finished(records);
      }, way),
    );

    it(
      'carries what a server sends before the client said anything',
      withRig(async (rig, client, route) => {
        const app = await rig.application((socket) => socket.write('220 ready'));
        rig.routes = [route(app)];
        const socket = await rig.dial(client.outbound);
        const [greeting] = (await once(socket, 'data')) as [Buffer];
        expect(String(greeting)).toBe('220 ready');
      }, way),
    );

    it(
      'closes in order when nobody ever sent a byte',
      withRig(async (rig, client, route) => {
        const app = await rig.application((socket) => {
          socket.resume();
          socket.on('end', () => socket.end());
        });
        rig.routes = [route(app)];
        const socket = await rig.dial(client.outbound);
        await until(() => rig.told.filter((told) => told.established !== undefined).length === records);
        socket.end();
        expect(await ending(socket)).toBe('ended');
        for (const told of await rig.finished(records)) {
          expect(told.finished).toEqual([{ counts: { sent: 0, received: 0 }, failure: undefined }]);
        }
      }, way),
    );

    it(
      'shows the server a reset when the client resets',
      withRig(async (rig, client, route) => {
        const seen = Promise.withResolvers<string>();
        const app = await rig.application((socket) => {
          socket.write('hello');
          seen.resolve(ending(socket));
        });
        rig.routes = [route(app)];
        const socket = await rig.dial(client.outbound);
        await once(socket, 'data');
        socket.resetAndDestroy();
        expect(await seen.promise).toBe('reset');
        const told = await rig.finished(records);
        expect(told[0]?.finished[0]?.failure).toMatchObject({
          hop: 'application',
          error: { code: 'APPLICATION_RESET' },
        });
      }, way),
    );

    it(
      'shows the client a reset when the server resets',
      withRig(async (rig, client, route) => {
        const app = await rig.application((socket) => {
          socket.once('data', () => socket.resetAndDestroy());
        });
        rig.routes = [route(app)];
        const socket = await rig.dial(client.outbound);
        socket.write('hello');
        expect(await ending(socket)).toBe('reset');
        const told = await rig.finished(records);
        expect(told[0]?.finished[0]?.failure).toMatchObject({ hop: 'peer', error: { code: 'STREAM_RESET' } });
      }, way),
    );

    it(
      'tries the next route when one fails, and tells of the failure',
      withRig(async (rig, client, route) => {
        const app = await rig.application((socket) => socket.end('second'));
        const closed = await rig.closedPort();
        rig.routes = [route(closed), route(app)];
        const socket = await rig.dial(client.outbound);
        expect(String(await readAll(socket))).toBe('second');
        const outbound = rig.told.find((told) => told.arrival.type === 'outbound');
        expect(outbound?.failedRoutes).toHaveLength(1);
        expect(outbound?.established?.route).toBe(rig.routes[1]);
      }, way),
    );

    it(
      'resets the client when every route fails, without an end that looks orderly',
      withRig(async (rig, client, route) => {
        const closed = await rig.closedPort();
        rig.routes = [route(closed)];
        const socket = await rig.dial(client.outbound);
        expect(await ending(socket)).toBe('reset');
        const told = await rig.finished(records);
        expect(told[0]?.finished[0]?.failure?.error.code).toBe(
          way === 'directly' ? 'DIAL_FAILED' : 'CONNECT_REFUSED',
        );
      }, way),
    );

    it(
      'ends when its observer says so, with that error as the outcome',
      withRig(async (rig, client, route) => {
        const app = await rig.application((socket) => socket.pipe(socket));
        rig.routes = [route(app)];
        const socket = await rig.dial(client.outbound);
        await until(() => rig.told[0]?.established !== undefined);
        rig.told[0]?.established?.close(new MeshError('POLICY_DENIED', 'the policy has changed'));
        expect(await ending(socket)).toBe('reset');
        const told = await rig.finished(records);
        expect(told[0]?.finished).toHaveLength(1);
        expect(told[0]?.finished[0]?.failure).toMatchObject({
          hop: 'policy',
          error: { code: 'POLICY_DENIED' },
        });
      }, way),
    );

    it(
      'carries 200 connections at a time without mixing them up',
      withRig(async (rig, client, route) => {
        const app = await rig.application((socket) => socket.pipe(socket));
        rig.routes = [route(app)];
        const answers = await Promise.all(
          Array.from({ length: 200 }, async (_, i) => {
            const socket = await rig.dial(client.outbound);
            const message = `connection ${i} `.repeat(1 + (i % 50));
            socket.end(message);
            return String(await readAll(socket)) === message;
          }),
        );
        expect(answers.filter((right) => right)).toHaveLength(200);
        await rig.finished(200 * records);
        expect(rig.told.every((told) => told.finished.length === 1)).toBe(true);
      }, way),
    );
  });
}
