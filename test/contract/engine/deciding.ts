/** Who decides, what happens around the decision, and that every arrival is finished exactly once. */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { MeshError, type ErrorCode } from '../../../src/base/errors.ts';
import type { Decision } from '../../../src/net/engine.ts';
import { ending, readAll, Rig, until, type EngineFactory, type RigPod } from './rig.ts';

export function describeDeciding(factory: EngineFactory): void {
  describe('the decision on a connection', () => {
    let rig: Rig;
    let client: RigPod;
    let server: RigPod;
    beforeEach(async () => {
      rig = await Rig.create(factory);
      client = await rig.pod('a', 'client');
      server = await rig.pod('b', 'server');
    });
    afterEach(() => rig.close());

    it('is asked with the addresses of both ends', async () => {
      const app = await rig.application((socket) => socket.end());
      rig.routes = [rig.hboneRoute(server, app)];
      const socket = await rig.dial(client.outbound);
      await readAll(socket);
      expect(rig.told[0]?.arrival).toMatchObject({
        type: 'outbound',
        pod: client.pod,
        client: { ip: '127.0.0.1', port: socket.localPort },
        local: client.outbound,
      });
    });

    it('is asked for an HBONE stream with the proved identity, the authority and the headers', async () => {
      const app = await rig.application((socket) => socket.end());
      rig.routes = [rig.hboneRoute(server, app)];
      await readAll(await rig.dial(client.outbound));
      const arrival = rig.told[1]?.arrival;
      expect(arrival).toMatchObject({
        type: 'hbone',
        pod: server.pod,
        local: server.hbone,
        peerIdentity: client.pod.identity,
        authority: `127.0.0.1:${app.port}`,
      });
      expect(arrival?.type === 'hbone' && [...arrival.headers]).toEqual([
        ['baggage', 'k8s.namespace.name=test'],
      ]);
    });

    it('is asked for plaintext with where it was going', async () => {
      rig.decide = (_arrival, observer) => ({ type: 'refuse', hop: 'policy', error: denied, observer });
      expect(await ending(await rig.dial(server.plaintext))).toBe('reset');
      expect(rig.told[0]?.arrival).toMatchObject({
        type: 'plaintext',
        pod: server.pod,
        local: server.plaintext,
      });
      expect(rig.told[0]?.finished).toHaveLength(1);
    });

    it.each<[ErrorCode, string]>([
      ['BAD_CONNECT', '400'],
      ['RECURSIVE_CALL', '400'],
      ['POLICY_DENIED', '401'],
      ['NO_HEALTHY_ENDPOINT', '503'],
      ['UNKNOWN_SOURCE', '503'],
    ])('that refuses a stream with %s is told to the peer as %s', async (code, status) => {
      rig.decide = (arrival, observer) =>
        arrival.type === 'hbone'
          ? { type: 'refuse', hop: 'resolve', error: new MeshError(code, 'no'), observer }
          : rig.forward(arrival, observer);
      rig.routes = [rig.hboneRoute(server, server.plaintext)];
      expect(await ending(await rig.dial(client.outbound))).toBe('reset');
      const [outbound, inbound] = await rig.finished(2);
      expect(outbound?.finished[0]?.failure?.error).toMatchObject({
        code: 'CONNECT_REFUSED',
        details: { status },
      });
      expect(inbound?.finished[0]?.failure).toMatchObject({ hop: 'resolve', error: { code } });
    });

    it('that an application refuses is a 503 with the reason in the destination’s record', async () => {
      rig.routes = [rig.hboneRoute(server, await rig.closedPort())];
      expect(await ending(await rig.dial(client.outbound))).toBe('reset');
      const [outbound, inbound] = await rig.finished(2);
      expect(outbound?.finished[0]?.failure).toMatchObject({
        hop: 'peer',
        error: { details: { status: '503' } },
      });
      expect(inbound?.finished[0]?.failure).toMatchObject({ hop: 'dial', error: { code: 'DIAL_FAILED' } });
      expect(inbound?.finished[0]?.failure?.error.message).toContain('ECONNREFUSED');
    });

    it('that refuses one stream leaves the others of the same tunnel alone', async () => {
      const app = await rig.application((socket) => socket.pipe(socket));
      rig.routes = [rig.hboneRoute(server, app)];
      const standing = await rig.dial(client.outbound);
      await until(() => rig.told.length === 2);
      rig.decide = (arrival, observer) =>
        arrival.type === 'hbone'
          ? { type: 'refuse', hop: 'policy', error: denied, observer }
          : rig.forward(arrival, observer);
      expect(await ending(await rig.dial(client.outbound))).toBe('reset');
      standing.end('still there');
      expect(String(await readAll(standing))).toBe('still there');
      expect(rig.a.stats().tunnelsOut).toBe(1);
    });

    it('that throws refuses the connection and is reported as a bug', async () => {
      rig.decide = oops;
      expect(await ending(await rig.dial(client.outbound))).toBe('reset');
      expect(rig.rejected).toMatchObject([{ error: { code: 'INTERNAL' } }]);
      expect(rig.a.stats().connections).toBe(0);
    });

    it('that names no route refuses the connection', async () => {
      rig.routes = [];
      expect(await ending(await rig.dial(client.outbound))).toBe('reset');
      expect((await rig.finished(1))[0]?.finished[0]?.failure?.error.code).toBe('INTERNAL');
    });

    it('may take its time; what the client sent meanwhile is delivered', async () => {
      const app = await rig.application((socket) => socket.pipe(socket));
      rig.routes = [rig.hboneRoute(server, app)];
      const gate = Promise.withResolvers<void>();
      rig.decide = async (arrival, observer) => {
        await gate.promise;
        return rig.forward(arrival, observer);
      };
      const socket = await rig.dial(client.outbound);
      socket.end('patience');
      await until(() => rig.told.length === 1);
      gate.resolve();
      expect(String(await readAll(socket))).toBe('patience');
    });

    it('finishes a connection whose client went away meanwhile, once', async () => {
      const gate = Promise.withResolvers<void>();
      const app = await rig.application((socket) => socket.pipe(socket));
      rig.routes = [rig.hboneRoute(server, app)];
      rig.decide = async (arrival, observer): Promise<Decision> => {
        await gate.promise;
        return rig.forward(arrival, observer);
      };
      const socket = await rig.dial(client.outbound);
      await until(() => rig.told.length === 1);
      socket.resetAndDestroy();
      gate.resolve();
      await rig.finished(1);
      await until(() => rig.a.stats().connections === 0 && rig.b.stats().connections === 0);
      expect(rig.told.every((told) => told.finished.length === 1)).toBe(true);
    });

    it('finishes a stream whose peer went away meanwhile, once', async () => {
      const gate = Promise.withResolvers<void>();
      rig.routes = [rig.hboneRoute(server, server.plaintext)];
      rig.decide = async (arrival, observer): Promise<Decision> => {
        if (arrival.type === 'hbone') await gate.promise;
        return rig.forward(arrival, observer);
      };
      await rig.dial(client.outbound);
      await until(() => rig.told.length === 2);
      rig.a.removePod(client.pod.uid);
      await until(() => rig.b.stats().tunnelsIn === 0);
      gate.resolve();
      const [outbound, inbound] = await rig.finished(2);
      expect(outbound?.finished).toMatchObject([{ failure: { error: { code: 'POD_REMOVED' } } }]);
      expect(inbound?.finished).toHaveLength(1);
    });

    it('that ends a connection in the moment in which it is granted ends it for the application too', async () => {
      rig.routes = [rig.hboneRoute(server, await rig.application((socket) => socket.pipe(socket)))];
      rig.decide = (arrival, observer) =>
        rig.forward(arrival, {
          ...observer,
          established(route, live) {
            observer.established(route, live);
            if (arrival.type === 'hbone') live.close(denied);
          },
        });
      expect(await ending(await rig.dial(client.outbound))).toBe('reset');
      const [outbound] = await rig.finished(2);
      expect(outbound?.finished[0]?.failure?.error.code).toBe('STREAM_RESET');
    });

    it('survives an observer that throws', async () => {
      const app = await rig.application((socket) => socket.pipe(socket));
      rig.routes = [rig.hboneRoute(server, app)];
      rig.decide = (arrival) =>
        rig.forward(arrival, { established: oops, routeFailed: oops, routeSlow: oops, finished: oops });
      const socket = await rig.dial(client.outbound);
      socket.end('all the same');
      expect(String(await readAll(socket))).toBe('all the same');
      await until(() => rig.a.stats().connections === 0);
    });

    it('is not asked about our own connection when it comes back on the plaintext port', async () => {
      rig.decide = (arrival, observer) => ({
        type: 'forward',
        routes: [
          {
            type: 'direct',
            target: arrival.type === 'outbound' ? client.plaintext : arrival.local,
            source: undefined,
          },
        ],
        observer,
      });
      expect(await ending(await rig.dial(client.outbound))).toBe('reset');
      await until(() => rig.rejected.length === 1);
      expect(rig.rejected).toMatchObject([{ hop: 'capture', error: { code: 'RECURSIVE_CALL' } }]);
      expect(rig.told).toHaveLength(1);
    });
  });
}

const oops = (): never => {
  throw new Error('oops');
};

const denied = new MeshError('POLICY_DENIED', 'not you');
