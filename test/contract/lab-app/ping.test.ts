/** The measuring client of the lab's echo server, over loopback. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { pingEcho, type PingResult } from '../../../src/lab/app/ping.ts';

let server: Server;
let connections = 0;
beforeAll(async () => {
  server = createServer((socket) => {
    connections += 1;
    socket.on('error', () => socket.destroy());
    socket.pipe(socket);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
});
afterAll(() => void server.close());

const ping = async (port: number): Promise<PingResult> =>
  await pingEcho({ host: '127.0.0.1', port, count: 5, megabytes: 3, timeoutMs: 5000 });

describe('lab-app ping', () => {
  it('tells the first connection, later ones, round trips and throughput', async () => {
    const result = await ping((server.address() as AddressInfo).port);
    expect(result).toMatchObject({ ok: true, target: expect.stringMatching(/^127\.0\.0\.1:\d+$/) });
    for (const figure of [
      'firstMicros',
      'connectionMicros',
      'roundTripMicros',
      'gigabitsPerSecond',
    ] as const) {
      expect(result[figure]).toBeGreaterThan(0);
    }
    // The first, five more, and the one that stays open.
    expect(connections).toBe(7);
  });

  it('says why there is no figure', async () => {
    const closed = createServer().listen(0, '127.0.0.1');
    await once(closed, 'listening');
    const { port } = closed.address() as AddressInfo;
    await new Promise((resolve) => closed.close(resolve));
    expect(await ping(port)).toMatchObject({ ok: false, error: 'ECONNREFUSED' });
  });

  it('does not wait for ever for what does not come back', async () => {
    const silent = createServer((socket) => void socket.resume()).listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const { port } = silent.address() as AddressInfo;
    const result = await pingEcho({ host: '127.0.0.1', port, count: 1, megabytes: 1, timeoutMs: 100 });
    expect(result).toMatchObject({ ok: false, error: 'timeout' });
    silent.close();
  });
});
