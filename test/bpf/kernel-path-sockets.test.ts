/** The kernel path and sockets that are used as few use them: whoever is not allowed gets by with none of them, and whoever is finds all as without a mesh. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { IpAddress } from '../../src/base/ip.ts';
import type { CounterName } from '../../src/datapath/abi/counters.ts';
import { eventually } from '../netns/support/wait.ts';
import { allow, data, forgetAccepted, kernelPath, takeBack, toZtunnel, startOver, undoneAfterEach } from './support/kernel-path.ts';
import { withMultipath, multipath } from './support/kernel.ts';
import type { LabPod } from './support/lab.ts';
import { type Mesh, startMesh, stopMesh } from './support/mesh.ts';
import { inside, packetRule } from './support/pod-network.ts';
import * as scripts from './support/scripts.ts';
import * as sockets from './support/socket-scripts.ts';

const sizes = { pods: 4, destinations: 16, flows: 256, egress: 64, verdicts: 1024 };
const tcp = { level: 6, fastOpen: 23, deferAccept: 9 };

let mesh: Mesh;
beforeAll(async () => {
  mesh = await startMesh({ sizes, kernelPath });
});
afterAll(() => stopMesh(mesh));
beforeEach(() => startOver(mesh));

const cleanups = undoneAfterEach();

/** A port of its own for each test: no verdict, cookie or closed connection of another one counts. */
let lastPort = 9000;

/** Servers in `b`; returns their port. */
async function serve(how: Record<string, unknown> = {}): Promise<number> {
  lastPort += 1;
  cleanups.push(await mesh.lab.hold(mesh.b, sockets.serve, { ...how, port: lastPort }));
  return lastPort;
}

const dial = (script: string, ip: string, port: number, ...more: unknown[]): Promise<unknown> =>
  mesh.lab.run(mesh.a, script, [ip, port, ...more]);

const allowed = (port: number, ip: IpAddress = mesh.b.ip4): Promise<void> => allow(mesh, mesh.a, mesh.b, ip, port);

function setting(pod: LabPod, name: string, value: number): void {
  const before = inside(pod, `sysctl -n ${name}`).trim();
  inside(pod, `sysctl -qw ${name}=${value}`);
  cleanups.push(() => inside(pod, `sysctl -qw ${name}=${before}`));
}

async function counted(names: readonly CounterName[], action: () => Promise<unknown>): Promise<unknown> {
  const before = mesh.datapath.counters();
  await action();
  const after = mesh.datapath.counters();
  return Object.fromEntries(names.map((name) => [name, Number(after[name] - before[name])]));
}

const noneLeft = (): Promise<unknown> =>
  eventually('no record to be left', () => mesh.datapath.kernelPath.connections().length === 0 || undefined);

/** Those of connections that were given up, too. */
const records = (): number | undefined =>
  mesh.datapath.occupancy().find(({ map }) => map.name === 'flows')?.entries;

describe('an IPv6 socket that dials an IPv4 address', () => {
  it('is asked about, and then reaches the application under that address', async () => {
    const mapped = `::ffff:${mesh.b.ip4}`;
    expect(await dial(scripts.connect, mapped, 8080)).toEqual(toZtunnel(mesh.b.ip4, 8080));
    await allowed(8080);
    expect(await dial(scripts.connect, mapped, 8080)).toMatchObject({
      peer: [mapped, 8080],
      own: [`::ffff:${mesh.a.ip4}`, expect.any(Number)],
      data: 'application b',
    });
  });
});

it('a non-blocking connect says what it says without a mesh', async () => {
  await allowed(8080);
  expect(await dial(scripts.connectNonBlocking, mesh.b.ip4, 8080)).toMatchObject({
    codes: ['EINPROGRESS', 0, 'EISCONN'],
    data: 'application b',
  });
});

describe('a port that nobody listens on any more', () => {
  it('refuses as without a mesh, and leaves no record', async () => {
    const port = await serve();
    await allowed(port);
    expect(await dial(scripts.connect, mesh.b.ip4, port)).toEqual(data('listener 0'));
    await cleanups.pop()?.();
    expect(await dial(scripts.connect, mesh.b.ip4, port)).toEqual({ error: 'ECONNREFUSED' });
    await noneLeft();
  });
});

describe('an ICMP error', () => {
  it('reaches who dials, and the record goes with the socket', async () => {
    await allowed(8080);
    const open = packetRule(mesh.b, 'input', 'tcp dport 8080 reject with icmp type admin-prohibited');
    try {
      expect(await dial(scripts.connect, mesh.b.ip4, 8080)).toEqual({ error: 'EHOSTUNREACH' });
    } finally {
      open();
    }
    await noneLeft();
    expect(await dial(scripts.connect, mesh.b.ip4, 8080)).toEqual(data('application b'));
  });
});

describe('servers that share a port (SO_REUSEPORT)', () => {
  it('each get their share of the connections', async () => {
    const port = await serve({ count: 4 });
    await allowed(port);
    const heard = await dial(sockets.listeners, mesh.b.ip4, port, 100);
    const each = expect.any(Number) as unknown;
    expect(heard).toEqual({ 'listener 0': each, 'listener 1': each, 'listener 2': each, 'listener 3': each });
  });
});

describe('a server whose queue is full', () => {
  it('gets all connections in the end', async () => {
    const port = await serve({ backlog: 1, after: 0.3 });
    await allowed(port);
    expect(await dial(sockets.crowd, mesh.b.ip4, port, 4)).toEqual(Array(4).fill('listener 0'));
    await noneLeft();
  }, 30_000);
});

it('a server that accepts only what has spoken (TCP_DEFER_ACCEPT) hears it', async () => {
  const port = await serve({ options: [[tcp.level, tcp.deferAccept, 5]], reads: true });
  await allowed(port);
  expect(await dial(sockets.speak, mesh.b.ip4, port)).toEqual(data('listener 0 hello'));
});

describe('with SYN cookies', () => {
  beforeEach(() => setting(mesh.b, 'net.ipv4.tcp_syncookies', 2));

  it('a connection is judged by its SYN and by the last packet of its handshake', async () => {
    const port = await serve();
    expect(await dial(scripts.connect, mesh.b.ip4, port)).toEqual(toZtunnel(mesh.b.ip4, port));
    await allowed(port);
    const both = await counted(['admittedKernel', 'kernelAsked'], async () =>
      expect(await dial(scripts.connect, mesh.b.ip4, port)).toEqual(data('listener 0')),
    );
    expect(both).toEqual({ admittedKernel: 2, kernelAsked: 0 });
  });

  it('what was admitted by its SYN is not, if a change comes before the last packet', async () => {
    const port = await serve({ reads: true });
    await allowed(port);
    const admitted = mesh.datapath.counters().admittedKernel;
    const open = packetRule(mesh.a, 'output', `tcp dport ${port} tcp flags & (syn|ack) == ack drop`);
    const answer = dial(sockets.speak, mesh.b.ip4, port);
    await eventually('the SYN', () => mesh.datapath.counters().admittedKernel > admitted || undefined);
    takeBack(mesh);
    open();
    expect(await answer).toEqual(toZtunnel(mesh.b.ip4, port));
  });
});

describe('TCP Fast Open, with the server’s consent', () => {
  beforeEach(() => {
    setting(mesh.a, 'net.ipv4.tcp_fastopen', 3);
    setting(mesh.b, 'net.ipv4.tcp_fastopen', 3);
  });

  it('brings the first words with the first packet to who may be reached, and to nobody else', async () => {
    const port = await serve({ options: [[tcp.level, tcp.fastOpen, 16]], reads: true });
    await allowed(port);
    const speak = (): Promise<unknown> => dial(sockets.speakEarly, mesh.b.ip4, port);
    expect(await speak()).toMatchObject({ data: 'listener 0 hello', early: false });
    // With the cookie of the first one.
    expect(await speak()).toMatchObject({ data: 'listener 0 hello', early: true });
    takeBack(mesh);
    expect(await speak()).toMatchObject({ data: `plaintext ${mesh.b.ip4} ${port}`, early: false });
  });
});

describe('Multipath TCP', () => {
  withMultipath('is asked about, and then carried like any other', async () => {
    const port = await serve({ protocol: multipath, reads: true });
    for (const ip of [mesh.b.ip4, mesh.b.ip6]) {
      expect(await dial(sockets.speak, ip, port, multipath)).toEqual(toZtunnel(ip, port));
      await allowed(port, ip);
      expect(await dial(sockets.speak, ip, port, multipath)).toEqual(data('listener 0 hello'));
    }
    await noneLeft();
  });

  withMultipath('is cut like any other, and carries nothing afterwards', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'mebpf-sockets-'));
    cleanups.push(() => rmSync(directory, { recursive: true }));
    const goOn = join(directory, 'go-on');
    const port = await serve({ protocol: multipath, reads: true });
    await allowed(port);
    const answer = dial(sockets.speakLater, mesh.b.ip4, port, multipath, goOn);
    const live = await eventually('the connection', () => {
      const all = mesh.datapath.kernelPath.connections().filter(({ isAdmitted }) => isAdmitted);
      return all.length === 0 ? undefined : all;
    });
    takeBack(mesh);
    await mesh.datapath.cut(live);
    writeFileSync(goOn, '');
    expect(await answer).toEqual({ error: expect.any(String) });
    await noneLeft();
  });
});

describe('the node itself', () => {
  it('is not on the kernel path, whether it dials a pod or is dialled by one', async () => {
    const { lab, a, b } = mesh;
    await lab.listen(lab.nodeNetns, 8080, (socket) => socket.end('the node'));
    const seen = await counted(['kernel', 'admittedKernel', 'admittedOrigin', 'direct'], async () => {
      expect(await lab.run(lab.host, scripts.connect, [b.ip4, 8080])).toEqual(data('application b'));
      expect(await lab.run(a, scripts.connect, ['10.77.0.1', 8080])).toEqual(data('the node'));
    });
    expect(seen).toEqual({ kernel: 0, admittedKernel: 0, admittedOrigin: 1, direct: 1 });
  });
});

describe('connections that are given up before they are there', () => {
  it('leave no record, once ztunnel has looked at those that reached it', async () => {
    const dialled = await counted(['kernel'], () => dial(sockets.giveUpAtOnce, mesh.b.ip4, 9999, 50));
    expect(dialled).toEqual({ kernel: 50 });
    // On a busy machine they are accepted one by one, long after they were given up.
    await eventually('ztunnel to have looked at all of them', () => {
      forgetAccepted(mesh);
      return records() === 0 || undefined;
    });
  });
});
