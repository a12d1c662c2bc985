// A namespace of one's own in which every address is this host's, and the list of the connections in a namespace.
import { afterEach, describe, expect, it } from '@jest/globals';
import { statSync } from 'node:fs';
import type { Fd } from '../../src/native/binding.ts';
import { native } from './support/addon.ts';
import { clientSpec, loopbackListener } from './support/specs.ts';
import { FdBag } from './support/subject.ts';

const fds = new FdBag();
afterEach(() => fds.closeAll());

const pathOf = (netns: Fd): string => `/proc/self/fd/${netns}`;

const ends = {
  4: ['198.51.100.1', '198.51.100.2'],
  6: ['2001:db8:1::1', '2001:db8:1::2'],
} as const;

/** A connection between two addresses that nobody configured. */
async function connectIn(netns: string, family: 4 | 6): Promise<Fd> {
  const [from, to] = ends[family];
  fds.keep(await native.createSocket({ ...loopbackListener, netns, family, bindIp: null, bindPort: 80 }));
  const client = { ...clientSpec, netns, family, bindIp: from, transparent: true };
  const fd = fds.keep(await native.createSocket(client));
  expect(native.connectSocket(fd, null, to, 80)).toMatchObject({ ip: from, connected: true });
  return fd;
}

describe('a loopback namespace', () => {
  it('is another one each time, and the thread is at home afterwards', async () => {
    const made = [fds.keep(await native.createLoopbackNetns()), fds.keep(await native.createLoopbackNetns())];
    const inodes = made.map((fd) => native.netnsId(pathOf(fd)).inode);
    const home = statSync('/proc/self/ns/net', { bigint: true }).ino;
    expect(new Set([...inodes, home]).size).toBe(3);
    const cookies = await Promise.all(['/proc/self/ns/net', ...made.map(pathOf)].map((path) => native.netnsCookie(path)));
    expect(new Set(cookies).size).toBe(cookies[0] === null ? 1 : 3);
  });

  it.each([4, 6] as const)('connects any two addresses of IPv%i', async (family) => {
    const netns = pathOf(fds.keep(await native.createLoopbackNetns()));
    const client = await connectIn(netns, family);
    const [from, to] = ends[family];
    const sockets = await native.tcpSockets(netns);
    expect(sockets).toHaveLength(2);
    expect(sockets).toContainEqual({
      local: { ip: from, port: native.socketName(client).port },
      remote: { ip: to, port: 80 },
      cookie: native.socketCookie(client),
    });
  });
});

describe('the list of connections', () => {
  it('has neither listeners nor what has ended', async () => {
    const netns = pathOf(fds.keep(await native.createLoopbackNetns()));
    expect(await native.tcpSockets(netns)).toEqual([]);
    const { local, remote, cookie } = await connectIn(netns, 4).then(async () => {
      const [first] = await native.tcpSockets(netns);
      if (first === undefined) throw new Error('the connection is not listed');
      return first;
    });
    await native.destroySockets(netns, [{ local, remote, cookie }]);
    expect((await native.tcpSockets(netns)).map((socket) => socket.cookie)).not.toContain(cookie);
  });
});
