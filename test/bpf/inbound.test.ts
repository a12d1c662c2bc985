/** Where connections to enrolled pods end up, by who makes them. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { readdirSync } from 'node:fs';
import { listMaps } from '../../src/datapath/inspect/maps.ts';
import { native, sh } from './support/lab.ts';
import { type Mesh, startMesh, stopMesh } from './support/mesh.ts';
import * as scripts from './support/scripts.ts';

let mesh: Mesh;
beforeAll(async () => {
  mesh = await startMesh();
});
afterAll(() => stopMesh(mesh));

const families = ['IPv4', 'IPv6'] as const;
const ipOf = (pod: { ip4: string; ip6: string }, family: string): string =>
  family === 'IPv4' ? pod.ip4 : pod.ip6;

describe.each(families)('a connection to an enrolled pod over %s', (family) => {
  it('from outside the mesh reaches ztunnel, which sees where it was going', async () => {
    const { lab, b, x } = mesh;
    const ip = ipOf(b, family);
    expect(await lab.run(x, scripts.connect, [ip, 8080])).toMatchObject({
      peer: [ip, 8080],
      data: `plaintext ${ip} 8080`,
    });
  });

  it('reaches ztunnel even for a port on which nothing listens', async () => {
    const { lab, b, x } = mesh;
    const ip = ipOf(b, family);
    expect(await lab.run(x, scripts.connect, [ip, 9999])).toMatchObject({ data: `plaintext ${ip} 9999` });
  });

  it.each([15001, 15006])('aimed at capture port %d is refused, from a pod and from the node', async (port) => {
    const { lab, b, x } = mesh;
    const refused = { error: 'ECONNREFUSED' };
    expect(await lab.run(x, scripts.connect, [ipOf(b, family), port])).toEqual(refused);
    expect(await lab.run(lab.host, scripts.connect, [ipOf(b, family), port])).toEqual(refused);
    expect(await lab.run(lab.ztunnelIn(lab.nodeNetns), scripts.connect, [ipOf(b, family), port])).toEqual(refused);
  });

  it('on the HBONE port reaches ztunnel’s HBONE listener', async () => {
    const { lab, b, x } = mesh;
    expect(await lab.run(x, scripts.connect, [ipOf(b, family), 15008])).toMatchObject({ data: 'hbone' });
  });

  it('from the node reaches the application: a kubelet probe, say', async () => {
    const { lab, b } = mesh;
    expect(await lab.run(lab.host, scripts.connect, [ipOf(b, family), 8080])).toMatchObject({
      data: 'application b',
    });
  });

  it('from ztunnel reaches the application, with the address of the client it speaks for', async () => {
    const { lab, b, x } = mesh;
    deliverThroughLoopback(b.netns);
    const outcome = await lab.run(lab.ztunnelIn(b.netns), scripts.connectTransparent, [
      ipOf(b, family),
      8080,
      ipOf(x, family),
    ]);
    expect(outcome).toMatchObject({ own: [ipOf(x, family), expect.any(Number)], data: 'application b' });
  });

  it('from a pod that binds a foreign address with ztunnel’s mark is not taken for ztunnel’s', async () => {
    const { lab, b, x } = mesh;
    deliverThroughLoopback(b.netns);
    const arg = [ipOf(b, family), 8080, ipOf(x, family)];
    const outcome = await lab.run(b, scripts.connectTransparent, arg);
    expect(outcome).toMatchObject({ data: `plaintext ${ipOf(b, family)} 8080` });
  });
});

describe('pods that come and go', () => {
  it('leave no descriptor, pin or entry behind', async () => {
    const { lab, datapath, b } = mesh;
    const inventory = (): unknown => ({
      descriptors: native.openFdCount(),
      pins: readdirSync(lab.pinRoot, { recursive: true }).length,
      entries: listMaps(native, lab.pinRoot).map(({ entries }) => entries),
    });
    const before = inventory();
    for (let i = 0; i < 200; i++) {
      datapath.unenrol(b.uid);
      await lab.enrol(datapath, b);
    }
    expect(inventory()).toEqual(before);
    expect(await lab.run(mesh.x, scripts.connect, [b.ip4, 8080])).toMatchObject({
      data: `plaintext ${b.ip4} 8080`,
    });
  });
});

describe('an enrolled pod', () => {
  it('does not let connections in on an address it was not enrolled with', async () => {
    const { lab, datapath, b, x } = mesh;
    await lab.enrol(datapath, b, [b.ip4]);
    const before = datapath.counters().droppedUnknown;
    expect(await lab.run(x, scripts.connect, [b.ip6, 8080])).toEqual({ error: 'ECONNREFUSED' });
    expect(datapath.counters().droppedUnknown).toBeGreaterThan(before);
    await lab.enrol(datapath, b);
    expect(await lab.run(x, scripts.connect, [b.ip6, 8080])).toMatchObject({ data: `plaintext ${b.ip6} 8080` });
  });

  it('that leaves the mesh is reached directly, and no longer captured', async () => {
    const { lab, datapath, b, x } = mesh;
    expect(datapath.unenrol(b.uid)).toBe(true);
    expect(datapath.unenrol(b.uid)).toBe(false);
    expect(await lab.run(x, scripts.connect, [b.ip4, 8080])).toMatchObject({ data: 'application b' });
    expect(await lab.run(b, scripts.connect, [mesh.a.ip4, 8080])).toMatchObject({
      data: `plaintext ${mesh.a.ip4} 8080`,
    });
    await lab.enrol(datapath, b);
    expect(await lab.run(x, scripts.connect, [b.ip4, 8080])).toMatchObject({ data: `plaintext ${b.ip4} 8080` });
  });

  it('without a plaintext listener lets nobody in but the node and ztunnel', async () => {
    const { lab, datapath, b, x } = mesh;
    const id = Buffer.alloc(4);
    id.writeUInt32LE(datapath.enrolled().find(({ uid }) => uid === b.uid)?.podId ?? 0);
    const listeners = native.openPinned(lab.pin('maps', 'listeners'));
    expect(native.mapDelete(listeners, id)).toBe(true);
    native.closeFd(listeners);
    expect(await lab.run(x, scripts.connect, [b.ip4, 8080])).toEqual({ error: 'ECONNREFUSED' });
    expect(await lab.run(lab.host, scripts.connect, [b.ip4, 8080])).toMatchObject({ data: 'application b' });
    await lab.enrol(datapath, b);
    expect(await lab.run(x, scripts.connect, [b.ip4, 8080])).toMatchObject({ data: `plaintext ${b.ip4} 8080` });
  });
});

/** The routes with which ztunnel keeps a client's address; set up once a namespace. */
function deliverThroughLoopback(netns: string): void {
  sh(`
    nsenter --net=${netns} sh -ec '
      sysctl -qw net.ipv4.tcp_fwmark_accept=1
      for f in -4 -6; do
        ip $f rule show | grep -q 0x53a || ip $f rule add fwmark 0x53a/0xfff lookup 100
        ip $f route replace local default dev lo table 100
      done'`);
}
