// Connecting: what is known as soon as connect() returns, and what is not.
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { Server, Socket } from 'node:net';
import { afterEach, describe, expect, it } from '@jest/globals';
import { MeshError } from '../../src/base/errors.ts';
import { systemClock } from '../../src/base/clock.ts';
import { parseIp, parsePort } from '../../src/base/ip.ts';
import type { WorkloadUid } from '../../src/model/mesh.ts';
import type { Fd } from '../../src/native/binding.ts';
import type { EnginePod } from '../../src/net/engine.ts';
import { Dialer } from '../../src/net/tunnel/dialer.ts';
import { Ending } from '../../src/net/tunnel/ending.ts';
import { OwnDials } from '../../src/net/tunnel/own-dials.ts';
import { native } from './support/addon.ts';
import { expectNativeError } from './support/native-error.ts';
import { clientSpec, loopbackListener } from './support/specs.ts';
import { FdBag } from './support/subject.ts';

const fds = new FdBag();
afterEach(() => fds.closeAll());

const socket = async (): Promise<Fd> => fds.keep(await native.createSocket(clientSpec));
const portOf = (fd: Fd): number => native.socketName(fd).port;

/** A listener that accepts nobody and has no room: who connects waits. It is not in the bag: Node may own it. */
async function fullListener(): Promise<Fd> {
  const listener = await native.createSocket({ ...loopbackListener, backlog: 1 });
  for (let i = 0; i < 2; i++) native.connectSocket(await socket(), null, '127.0.0.1', portOf(listener));
  return listener;
}

describe('connecting a socket', () => {
  it('to an application of this host is done at once, from the address given', async () => {
    const listener = fds.keep(await native.createSocket(loopbackListener));
    const fd = await socket();
    const start = native.connectSocket(fd, '127.0.0.77', '127.0.0.1', portOf(listener));
    expect(start).toEqual({ ip: '127.0.0.77', port: portOf(fd), connected: true });
    expect(start.port).toBeGreaterThan(0);
  });

  it('from another one’s address takes no port that his own kernel may choose, until those run out', async () => {
    const listener = fds.keep(await native.createSocket(loopbackListener));
    const from = async (): Promise<number> =>
      native.connectSocket(await socket(), '127.0.0.78', '127.0.0.1', portOf(listener)).port;
    const ports: number[] = [];
    for (let i = 0; i < 40; i++) ports.push(await from());
    expect(ports.filter((port) => port < 61_000)).toEqual([]);
    expect(new Set(ports).size).toBe(40);
    // All that follow, as far as attempts go.
    for (let port = 61_000; port < 65_536; port++) {
      const spec = { ...clientSpec, bindIp: '127.0.0.78', bindPort: port };
      await native.createSocket(spec).then((fd) => fds.keep(fd), () => undefined);
    }
    expect(await from()).toBeLessThan(61_000);
  });

  it('to a port that nobody serves is refused at once', async () => {
    const listener = await native.createSocket(loopbackListener);
    const port = portOf(listener);
    native.closeFd(listener);
    const fd = await socket();
    await expectNativeError(() => native.connectSocket(fd, null, '127.0.0.1', port), 'ECONNREFUSED');
  });

  it('from an address that is not ours fails', async () => {
    const fd = await socket();
    await expectNativeError(() => native.connectSocket(fd, '192.0.2.7', '127.0.0.1', 80), 'EADDRNOTAVAIL');
  });

  it('to whom takes his time is under way', async () => {
    const listener = fds.keep(await fullListener());
    const fd = await socket();
    expect(native.connectSocket(fd, null, '127.0.0.1', portOf(listener)).connected).toBe(false);
  });
});

describe('a tuned listener', () => {
  it('hands its options on to what it accepts', async () => {
    const listener = await native.createSocket(loopbackListener);
    native.tuneSocket(listener, 60);
    const port = portOf(listener);
    const server = new Server().listen({ fd: listener });
    const client = new Socket().connect(port, '127.0.0.1');
    await once(server, 'connection');
    const timers = execFileSync('ss', ['-Htno', `sport = :${port}`], { encoding: 'utf8' });
    expect(timers).toMatch(/timer:\(keepalive,(1min|59sec|60sec)/);
    client.destroy();
    server.close();
  });
});

describe('dialling', () => {
  const owner = new OwnDials();
  const dialer = new Dialer({ sockets: native, clock: systemClock, ownDials: owner }, { timeoutMs: 5000 });
  const pod = { uid: 'pod' as WorkloadUid, netns: '/proc/self/ns/net' } as EnginePod;
  const loopback = parseIp('127.0.0.1');
  const dial = (port: number, wanted = new Ending(), by = dialer): Promise<Socket> =>
    by.dial(pod, { target: { ip: loopback, port: parsePort(port) }, source: undefined }, wanted);

  it('whom takes his time waits for him, and carries bytes then', async () => {
    const listener = await fullListener();
    const port = portOf(listener);
    const dialled = dial(port);
    const server = new Server((accepted) => accepted.on('error', () => {}).pipe(accepted)).listen({ fd: listener });
    const client = await dialled;
    client.end('hello');
    const [answer] = await once(client, 'data');
    expect(String(answer)).toBe('hello');
    client.destroy();
    server.close();
  });

  it('gives up whom takes too long, and who is wanted no more', async () => {
    const port = portOf(fds.keep(await fullListener()));
    const impatient = new Dialer({ sockets: native, clock: systemClock, ownDials: owner }, { timeoutMs: 50 });
    await expect(dial(port, new Ending(), impatient)).rejects.toMatchObject({
      code: 'DIAL_FAILED',
      message: expect.stringContaining('no answer within 0.05 s'),
    });
    const wanted = new Ending();
    const dialled = dial(port, wanted);
    setImmediate(() => wanted.end(new MeshError('POD_REMOVED', 'the pod left the mesh')));
    await expect(dialled).rejects.toMatchObject({ code: 'POD_REMOVED' });
  });

  it('says why it was refused', async () => {
    const listener = await native.createSocket(loopbackListener);
    const port = portOf(listener);
    native.closeFd(listener);
    await expect(dial(port)).rejects.toMatchObject({
      code: 'DIAL_FAILED',
      message: expect.stringContaining('ECONNREFUSED'),
      hint: expect.stringContaining('is the application ready?'),
    });
  });

  it('is remembered as our own for as long as the connection stands', async () => {
    const listener = fds.keep(await native.createSocket(loopbackListener));
    const port = parsePort(portOf(listener));
    const client = await dial(port);
    const from = { ip: loopback, port: parsePort(client.localPort ?? 0) };
    expect(owner.has(pod.uid, from, { ip: loopback, port })).toBe(true);
    client.destroy();
    await once(client, 'close');
    expect(owner.has(pod.uid, from, { ip: loopback, port })).toBe(false);
  });
});
