/** What the kernel or the cluster gives to somebody new (numbers of namespaces, cookies, ports, addresses) brings no verdict along. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { fstatSync } from 'node:fs';
import type { IpAddress } from '../../src/base/ip.ts';
import { parseIp } from '../../src/base/ip.ts';
import type { WorkloadUid } from '../../src/model/mesh.ts';
import type { Fd } from '../../src/native/binding.ts';
import { eventually, patience, until } from '../netns/support/wait.ts';
import { allow, data, forgetAccepted, kernelPath, takeBack, toZtunnel, startOver, undoneAfterEach } from './support/kernel-path.ts';
import { type LabPod, native } from './support/lab.ts';
import { type Mesh, startAgent, startMesh, stopAgent, stopMesh } from './support/mesh.ts';
import * as scripts from './support/scripts.ts';
import * as sockets from './support/socket-scripts.ts';

const options = { sizes: { pods: 8, destinations: 16, flows: 512, egress: 64, verdicts: 1024 }, kernelPath };

let mesh: Mesh;
beforeAll(async () => {
  mesh = await startMesh(options);
});
afterAll(() => stopMesh(mesh));
beforeEach(() => startOver(mesh));

const cleanups = undoneAfterEach();

const kept = (fd: Fd): Fd => {
  cleanups.push(() => native.closeFd(fd));
  return fd;
};
const inodeOf = (fd: Fd): bigint => fstatSync(fd, { bigint: true }).ino;

/** The kernel gives the lowest number that is free: a namespace with this one, once those below are taken. */
async function namespaceWith(inode: bigint): Promise<Fd | undefined> {
  for (let i = 0; i < 100; i++) {
    const fd = kept(await native.createLoopbackNetns());
    if (inodeOf(fd) === inode) return fd;
  }
  return undefined;
}

interface Place {
  readonly path: string;
  readonly cookie: bigint;
  readonly inode: bigint;
}

async function place(fd: Fd): Promise<Place> {
  const path = `/proc/${process.pid}/fd/${fd}`;
  return { path, cookie: await mesh.datapath.netnsCookie(path), inode: inodeOf(fd) };
}

function enrolAt({ path, cookie }: Place, uid: string, ip: string, listener: Fd): void {
  mesh.datapath.enrol({
    uid: uid as WorkloadUid,
    label: uid,
    cookie,
    netns: path,
    addresses: [parseIp(ip)],
    plaintextListener: listener,
  });
}

/** A pod that an agent enrolled, and that is gone when the next agent comes; what it had as its number. */
async function podThatIsGone(uid: string): Promise<Place> {
  const fd = await native.createLoopbackNetns();
  const gone = await place(fd);
  const spec = { netns: gone.path, bindIp: null, bindPort: 15006, transparent: false, mark: 0, backlog: 4 } as const;
  const listener = await native.createSocket({ ...spec, family: 4, dualStack: false });
  enrolAt(gone, uid, '10.77.0.50', listener);
  stopAgent(mesh);
  native.closeFd(listener);
  native.closeFd(fd);
  await startAgent(mesh, options);
  return gone;
}

describe('a network namespace that has the number of one that is gone', () => {
  it('has another cookie, and stays guarded when the pod that is gone is taken out', async () => {
    const { lab } = mesh;
    const found = await eventually('the number to be given again', async () => {
      const before = await podThatIsGone('test/gone');
      const fd = await namespaceWith(before.inode);
      if (fd !== undefined) return { before, now: await place(fd) };
      mesh.datapath.unenrol('test/gone' as WorkloadUid);
      return undefined;
    });
    const { before, now } = found;
    expect([now.inode, now.cookie === before.cookie]).toEqual([before.inode, false]);
    await lab.listen(now.path, 8080, (socket) => socket.end('application'));
    const listener = await lab.listen(now.path, 15006, (socket) => socket.end('plaintext'));
    enrolAt(now, 'test/next', '10.77.0.51', listener);
    expect(mesh.datapath.enrolled().map(({ uid }) => uid)).toContain('test/gone');
    expect(mesh.datapath.unenrol('test/gone' as WorkloadUid)).toBe(true);
    // Every address is local there: a stranger's connection need not come from elsewhere.
    const dialled = ['10.77.0.51', 8080, '198.18.0.9', 0];
    const stranger = { netns: now.path, cgroup: lab.hostCgroup };
    expect(await lab.run(stranger, scripts.bindAndConnect, dialled)).toEqual(data('plaintext'));
    mesh.datapath.unenrol('test/next' as WorkloadUid);
    expect(await lab.run(stranger, scripts.bindAndConnect, dialled)).toEqual(data('application'));
  });
});

describe('a connection from the port of one that has ended, to the same port', () => {
  const from = 4321;
  const dial = (ip: IpAddress): Promise<unknown> => {
    const own = ip === mesh.b.ip4 ? mesh.a.ip4 : mesh.a.ip6;
    return mesh.lab.run(mesh.a, sockets.bindAndConnectAgain, [ip, 8080, own, from]);
  };

  it('is judged by itself, though the kernel remembers the one before', async () => {
    for (const ip of [mesh.b.ip4, mesh.b.ip6]) {
      await allow(mesh, mesh.a, mesh.b, ip, 8080);
      expect(await dial(ip)).toEqual(data('application b'));
      expect(await dial(ip)).toEqual(data('application b'));
      takeBack(mesh);
      expect(await dial(ip)).toEqual(toZtunnel(ip, 8080));
      forgetAccepted(mesh);
    }
    await eventually('no record to be left', () => mesh.datapath.kernelPath.connections().length === 0 || undefined);
  });

  it('has a record of its own where the one before is remembered on its own side (TIME_WAIT)', async () => {
    const { lab, a, b } = mesh;
    await lab.listen(b.netns, 8082);
    await allow(mesh, a, b, b.ip4, 8082);
    const release = await lab.hold(a, sockets.succeed, [b.ip4, 8082, a.ip4, 4322]);
    const [only, ...more] = mesh.datapath.kernelPath.connections();
    expect([only?.source.port, only?.isAdmitted, more]).toEqual([4322, true, []]);
    await release();
    await eventually('no record to be left', () => mesh.datapath.kernelPath.connections().length === 0 || undefined);
  });
});

describe('a pod that is replaced by one with its address while it is dialled', () => {
  const rounds = 25;

  it('passes nothing on: who dials from then on is asked about', async () => {
    const { lab, a, b } = mesh;
    let current: LabPod = b;
    const knocks = await lab.hold(a, sockets.knock, [b.ip4, 8080]);
    const admitted = (): bigint => mesh.datapath.counters().admittedKernel;
    const asked = (): bigint => mesh.datapath.counters().kernelAsked;
    // As ztunnel does: what nobody looks at would use up the knocking pod's share of records.
    const whileAnswering = (what: string, holds: () => boolean): Promise<void> =>
      until(what, () => {
        forgetAccepted(mesh);
        return holds();
      });
    for (let i = 0; i < rounds; i++) {
      await allow(mesh, a, current, b.ip4, 8080);
      const before = admitted();
      await whileAnswering('connections without being asked', () => admitted() > before + 2n);
      const next = lab.successor(current, `test/b-${i}`);
      mesh.datapath.unenrol(current.uid);
      await lab.enrol(mesh.datapath, next);
      const after = admitted();
      const askedBefore = asked();
      await whileAnswering('connections that are asked about', () => asked() > askedBefore + 2n);
      expect(admitted()).toBe(after);
      current = next;
    }
    const told = JSON.parse((await knocks()).split('\n').at(-2) ?? '') as Record<string, number>;
    expect(told['application b']).toBeGreaterThan(rounds);
    expect(told[`plaintext ${b.ip4} 8080`]).toBeGreaterThan(rounds);
    mesh.datapath.unenrol(current.uid);
    await lab.enrol(mesh.datapath, b);
  }, 60_000 * patience);
});
