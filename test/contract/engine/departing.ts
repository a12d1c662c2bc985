/** What becomes of connections when pods of other nodes leave, and when they do not answer. */
import { afterEach, describe, expect, it } from '@jest/globals';
import { once } from 'node:events';
import type { SocketAddress } from '../../../src/base/ip.ts';
import type { HboneRoute } from '../../../src/net/engine.ts';
import type { EngineOptions } from '../../../src/net/tunnel/options.ts';
import { echo, ending, Rig, until, type EngineFactory, type RigPod } from './rig.ts';

export function describeDeparting(factory: EngineFactory): void {
  describe('a pod of another node', () => {
    let rig: Rig;
    let client: RigPod;
    let server: RigPod;
    let app: SocketAddress;
    afterEach(() => rig.close());
    const setUp = async (options: Partial<EngineOptions> = {}): Promise<void> => {
      rig = await Rig.create(factory, options);
      client = await rig.pod('a', 'client');
      server = await rig.pod('b', 'server');
      app = await rig.application((socket) => socket.pipe(socket));
      rig.routes = [rig.hboneRoute(server, app)];
    };
    /** Through a peer that accepts and never says a word, as a pod does that vanished behind its node. */
    const silentRoute = async (): Promise<HboneRoute> => ({
      ...rig.hboneRoute(server, app),
      via: await rig.application(() => {}),
    });

    it('that does not answer gets company from the next, which serves the connection', async () => {
      await setUp({ nextRouteAfterMs: 50 });
      const silent = await silentRoute();
      rig.routes = [silent, rig.hboneRoute(server, app)];
      expect(await echo(await rig.dial(client.outbound), 'x')).toBe('x');
      const [outbound] = rig.told;
      expect(outbound?.slowRoutes[0]).toEqual(silent);
      expect(outbound?.failedRoutes).toEqual([]);
      expect(outbound?.established?.route).toMatchObject({ via: server.hbone });
    });

    it('that is gone is waited for by nobody: the connection goes to another at once', async () => {
      await setUp({ nextRouteAfterMs: 60_000 });
      const silent = await silentRoute();
      rig.decide = (arrival, observer) =>
        arrival.type === 'outbound'
          ? { type: 'forward', routes: [silent], furtherRoute: oneOf(rig.hboneRoute(server, app)), observer }
          : rig.forward(arrival, observer);
      const socket = await rig.dial(client.outbound);
      const answer = echo(socket, 'x');
      await until(() => rig.dials === 1);
      await new Promise((resolve) => setImmediate(resolve));
      client.engine.peerDeparts(silent.via.ip, 'gone');
      expect(await answer).toBe('x');
      expect(rig.told[0]?.failedRoutes).toMatchObject([{ hop: 'dial', error: { code: 'DIAL_FAILED' } }]);
    });

    it('that is gone and has no other fails the connection at once', async () => {
      await setUp({ dialTimeoutMs: 600_000 });
      const silent = await silentRoute();
      rig.routes = [silent];
      const socket = await rig.dial(client.outbound);
      await until(() => rig.dials === 1);
      client.engine.peerDeparts(silent.via.ip, 'gone');
      expect(await ending(socket)).toBe('reset');
      await until(() => rig.a.stats().connections === 0);
    });

    it('that is gone gets no new stream in a tunnel that stands, and keeps those it has', async () => {
      await setUp();
      const standing = await rig.dial(client.outbound);
      await echo(standing, 'x');
      client.engine.peerDeparts(server.hbone.ip, 'gone');
      expect(await echo(await rig.dial(client.outbound), 'y')).toBe('y');
      expect(rig.a.stats().tunnelsOut).toBe(2);
      expect(await echo(standing, 'z')).toBe('z');
      standing.end();
      await once(standing, 'close');
      await until(() => rig.a.stats().tunnelsOut === 1);
    });

    it('that is leaving keeps its tunnel: it may be the last that serves', async () => {
      await setUp();
      await echo(await rig.dial(client.outbound), 'x');
      client.engine.peerDeparts(server.hbone.ip, 'leaving');
      await echo(await rig.dial(client.outbound), 'y');
      expect(rig.a.stats().tunnelsOut).toBe(1);
    });
  });
}

const oneOf = (route: HboneRoute): (() => HboneRoute | undefined) => {
  const left = [route];
  return () => left.pop();
};
