// Sockets made in another network namespace, and the facts about sockets and namespaces that Node does not tell.
import { execFileSync } from 'node:child_process';
import { constants, tmpdir } from 'node:os';
import { type AddressInfo, connect, createServer, Server, Socket } from 'node:net';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type { Fd, SocketSpec } from '../../src/native/binding.ts';
import { native } from './support/addon.ts';
import { makeNetns, type Netns } from './support/kernel-places.ts';
import { expectNativeError } from './support/native-error.ts';
import { clientSpec, loopbackListener } from './support/specs.ts';
import { FdBag } from './support/subject.ts';

const listenState = 10; // TCP_LISTEN

let netns: Netns;
let other: Netns;
const fds = new FdBag();
beforeAll(() => {
  netns = makeNetns();
  other = makeNetns();
  // A veth pair rather than a dummy device, which not every kernel has.
  netns.run('ip', 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'eth1');
  netns.run('ip', 'addr', 'add', '10.9.8.7/24', 'dev', 'eth0');
  netns.run('ip', 'addr', 'add', 'fd09::7/64', 'dev', 'eth0', 'nodad');
  netns.run('ip', 'addr', 'add', '169.254.3.4/16', 'dev', 'eth0');
  netns.run('ip', 'link', 'set', 'eth0', 'up');
});
afterAll(() => {
  netns.remove();
  other.remove();
});
afterEach(() => fds.closeAll());

const open = async (spec: Partial<SocketSpec>): Promise<Fd> =>
  fds.keep(await native.createSocket({ ...clientSpec, ...spec }));

/** Listening sockets as the namespace itself sees them. */
const listening = (namespace: Netns): string => namespace.run('ss', '-Htln');

const listeners = (namespace: Netns): number => listening(namespace).split(':80').length - 1;

/** Of the sockets of this process's own network namespace, as /proc/self/fd names them. */
function tcpInodes(): readonly string[] {
  const [, ...rows] = readFileSync('/proc/self/net/tcp', 'utf8').trim().split('\n');
  return rows.map((row) => `socket:[${row.trim().split(/\s+/)[9]}]`);
}

describe('a socket', () => {
  it('listens in the namespace asked for, and nowhere else', async () => {
    const fd = await open({ netns: netns.path, bindPort: 15001, backlog: 128 });
    expect(listening(netns)).toContain('0.0.0.0:15001');
    expect(listening(other)).toBe('');
    // By its inode: somebody else's socket may have the port on this machine.
    expect(tcpInodes()).not.toContain(readlinkSync(`/proc/self/fd/${fd}`));
  });

  it('listens in the process’s own namespace without one', async () => {
    const fd = await open(loopbackListener);
    const { ip, port } = native.socketName(fd);
    expect(ip).toBe('127.0.0.1');
    const client = connect(port, ip);
    await once(client, 'connect');
    client.destroy();
  });

  it('can be served by Node, which then owns it', async () => {
    const fd = await native.createSocket(loopbackListener);
    const server = createServer((socket) => socket.end('hello')).listen({ fd });
    await once(server, 'listening');
    const client = connect(native.socketName(fd).port, '127.0.0.1');
    const [answer] = await once(client, 'data');
    expect(String(answer)).toBe('hello');
    server.close();
    await once(server, 'close');
    await expectNativeError(() => native.closeFd(fd), 'ERR_ARGUMENT');
  });

  it('can be connected by Node from inside the namespace', async () => {
    const listener = await native.createSocket({ ...loopbackListener, netns: netns.path, bindPort: 7001 });
    const server = new Server((socket) => socket.end('inside')).listen({ fd: listener });
    await once(server, 'listening');
    const fd = await native.createSocket({ ...clientSpec, netns: netns.path });
    const client = new Socket({ fd }).connect(7001, '127.0.0.1');
    const [answer] = await once(client, 'data');
    expect(String(answer)).toBe('inside');
    server.close();
  });

  it('on IPv6 takes IPv4 too only when asked', async () => {
    await open({ netns: netns.path, family: 6, bindPort: 7002, backlog: 1, dualStack: true });
    await open({ netns: netns.path, family: 6, bindPort: 7003, backlog: 1 });
    // The IPv4 port is taken by the dual-stack listener only.
    await expectNativeError(() => open({ netns: netns.path, bindPort: 7002, backlog: 1 }), 'EADDRINUSE');
    await open({ netns: netns.path, bindPort: 7003, backlog: 1 });
  });

  it('binds a foreign address only when transparent', async () => {
    const foreign = { netns: netns.path, bindIp: '198.51.100.7' };
    const error = await expectNativeError(() => open(foreign), 'EADDRNOTAVAIL');
    expect(error).toMatchObject({ syscall: 'bind', hint: '198.51.100.7 port 0' });
    const fd = await open({ ...foreign, transparent: true, bindPort: 4000 });
    expect(native.socketName(fd)).toEqual({ ip: '198.51.100.7', port: 4000 });
    const six = await open({
      netns: netns.path,
      family: 6,
      bindIp: '2001:db8::7',
      bindPort: 4000,
      transparent: true,
    });
    expect(native.socketName(six)).toEqual({ ip: '2001:db8::7', port: 4000 });
  });

  it('leaves the choice of its port to connect() when it has an address only', async () => {
    expect(native.socketName(await open({ netns: netns.path, bindIp: '10.9.8.7' }))).toEqual({
      ip: '10.9.8.7',
      port: 0,
    });
  });

  it('carries its mark', async () => {
    await open({ netns: netns.path, bindPort: 7004, backlog: 1, mark: 0x53a });
    expect(netns.run('ss', '-Htlne', 'sport = :7004')).toContain('fwmark:0x53a');
  });

  it('does not share its port with another listener', async () => {
    await open({ netns: netns.path, bindPort: 7005, backlog: 1 });
    await expectNativeError(
      () => open({ netns: netns.path, bindPort: 7005, backlog: 1 }),
      'EADDRINUSE',
    );
    await open({ netns: other.path, bindPort: 7005, backlog: 1 });
  });

  it('is refused for what is no namespace, by name', async () => {
    const missing = await expectNativeError(() => open({ netns: '/run/netns/nonexistent' }), 'ENOENT');
    expect(missing.message).toContain('/run/netns/nonexistent');
    await expectNativeError(() => open({ netns: '/etc/passwd' }), 'EINVAL');
    await expectNativeError(() => open({ netns: '/proc/self/ns/mnt' }), 'EINVAL');
  });

  it('is made in the right namespace when many are asked for at once', async () => {
    const places = [netns.path, other.path, null];
    const ports = Array.from({ length: 60 }, (_, i) => (i % 3 === 2 ? 0 : 8000 + i));
    const made = await Promise.all(
      ports.map((bindPort, i) => open({ netns: places[i % 3] ?? null, bindPort, backlog: 1 })),
    );

    expect(made.map((fd) => native.socketName(fd).port).filter((_, i) => i % 3 !== 2)).toEqual(
      ports.filter((port) => port !== 0),
    );
    expect([listeners(netns), listeners(other)]).toEqual([20, 20]);
  });

  it('leaves the process in its own namespace, failures included', async () => {
    const before = native.netnsId('/proc/self/ns/net');
    await open({ netns: netns.path });
    await expectNativeError(() => open({ netns: netns.path, bindIp: '203.0.113.1' }), 'EADDRNOTAVAIL');
    expect(native.netnsId('/proc/self/ns/net')).toEqual(before);
    expect(await native.netnsCookie('/proc/self/ns/net')).not.toBe(await native.netnsCookie(netns.path));
    await open(loopbackListener);
  });
});

describe('a network namespace', () => {
  it('has a cookie of its own', async () => {
    const cookies = await Promise.all(
      [netns.path, other.path, '/proc/self/ns/net', netns.path].map((path) => native.netnsCookie(path)),
    );
    expect(new Set(cookies).size).toBe(3);
    expect(cookies[0]).toBe(cookies[3]);
  });

  it('has an identity that is the same by every path', () => {
    expect(native.netnsId('/proc/self/ns/net')).toEqual(native.netnsId(`/proc/${process.pid}/ns/net`));
    expect(native.netnsId(netns.path)).not.toEqual(native.netnsId(other.path));
  });

  it('tells its addresses, without loopback and link-local ones', async () => {
    expect((await native.netnsAddresses(netns.path)).toSorted()).toEqual(['10.9.8.7', 'fd09::7']);
    expect(await native.netnsAddresses(other.path)).toEqual([]);
  });

  it('is probed by a connect() that may fail', async () => {
    const first = await native.probeConnect(netns.path, '192.0.2.1', 65535);
    const second = await native.probeConnect(netns.path, 'fd09::1', 65535);
    expect(first).toBeGreaterThan(0n);
    expect(second).not.toBe(first);
  });
});

describe('an open socket', () => {
  it('has a cookie and TCP facts', async () => {
    const fd = await open(loopbackListener);
    expect(native.socketCookie(fd)).toBe(native.socketCookie(fds.keep(native.dup(fd))));
    expect(native.tcpInfo(fd)).toEqual({
      state: listenState,
      rttUs: expect.any(Number),
      retransmits: 0,
      bytesAcked: 0n,
      bytesReceived: 0n,
    });
  });

  it('tells who is at the other end, on unix sockets only', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'mebpf-nat-'));
    const path = join(directory, 'socket');
    const server = createServer().listen(path);
    const client = connect(path);
    const [accepted] = await once(server, 'connection');
    const fd: unknown = (accepted as unknown as { readonly _handle: { readonly fd: unknown } })._handle.fd;
    expect(native.peerCredentials(fd as Fd)).toEqual({
      pid: process.pid,
      uid: process.getuid?.(),
      gid: process.getgid?.(),
    });
    client.destroy();
    server.close();
    rmSync(directory, { recursive: true });
    await expectNativeError(async () => native.peerCredentials(await open({})), 'EAFNOSUPPORT');
  });

  it('tells with which error it broke; one that ended in order is not broken, even with bytes unread', async () => {
    const server = createServer({ pauseOnConnect: true, allowHalfOpen: true }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const pair = async (): Promise<{ client: Socket; accepted: Socket; fd: Fd }> => {
      const client = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
      const [accepted] = (await once(server, 'connection')) as [Socket];
      return { client, accepted, fd: (accepted as unknown as { readonly _handle: { readonly fd: Fd } })._handle.fd };
    };
    const closed = 7; // TCP_CLOSE, include/net/tcp_states.h
    const isClosed = async (fd: Fd): Promise<void> => {
      while (native.tcpInfo(fd).state !== closed) await new Promise(setImmediate);
    };
    const [orderly, broken] = [await pair(), await pair()];
    expect(native.socketError(orderly.fd)).toBe(0);
    orderly.accepted.end();
    orderly.client.end('nobody reads this');
    broken.client.resetAndDestroy();
    await Promise.all([isClosed(orderly.fd), isClosed(broken.fd)]);
    expect(native.socketError(orderly.fd)).toBe(0);
    expect(native.socketError(broken.fd)).toBe(constants.errno.ECONNRESET);
    for (const { client, accepted } of [orderly, broken]) [client, accepted].forEach((end) => end.destroy());
    server.close();
  });

  it('is told apart from files', async () => {
    const file = fds.keep(native.openPath('/etc/passwd'));
    const questions = [
 (fd: Fd) => native.socketCookie(fd), (fd: Fd) => native.tcpInfo(fd), (fd: Fd) => native.peerCredentials(fd), (fd: Fd) => native.socketName(fd)];
    for (const ask of questions) {
      await expectNativeError(() => ask(file), 'ENOTSOCK');
      await expectNativeError(() => ask(1_000_000 as Fd), 'EBADF');
    }
  });
});

describe('a descriptor', () => {
  it('is closed once', async () => {
    const fd = native.openPath('/');
    native.closeFd(fd);
    await expectNativeError(() => native.closeFd(fd), 'ERR_ARGUMENT');
  });

  it('that somebody else holds by now is not closed', async () => {
    const ours = native.openPath('/');
    closeSync(ours);
    const theirs = openSync('/etc/passwd', 'r');
    expect(theirs).toBe(ours);
    await expectNativeError(() => native.closeFd(ours), 'ERR_ARGUMENT');
    closeSync(theirs);
  });

  it('is counted until it is closed', () => {
    const before = native.openFdCount();
    const fd = native.openPath('/');
    const copy = native.dup(fd);
    expect(native.openFdCount()).toBe(before + 2);
    native.closeFd(fd);
    native.closeFd(copy);
    expect(native.openFdCount()).toBe(before);
  });

  it('to a FIFO is opened without waiting for a writer', async () => {
    await expectNativeError(() => native.openPath('/nonexistent'), 'ENOENT');
    const directory = mkdtempSync(join(tmpdir(), 'mebpf-nat-'));
    execFileSync('mkfifo', [join(directory, 'fifo')]);
    fds.keep(native.openPath(join(directory, 'fifo')));
    rmSync(directory, { recursive: true });
  });
});
