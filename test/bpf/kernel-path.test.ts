/** Connections between two enrolled pods that both take the kernel path: who gets them, and when ztunnel is asked. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Port, SocketAddress } from '../../src/base/ip.ts';
import { dumpMap } from '../../src/datapath/inspect/maps.ts';
import type { Dialler } from '../../src/datapath/kernel-path/kernel-path.ts';
import { eventually } from '../netns/support/wait.ts';
import { becomeAnotherVersion } from './support/another-version.ts';
import { native, sh } from './support/lab.ts';
import { accepted, type Mesh, startAgent, startMesh, stopAgent, stopMesh, wholeMesh } from './support/mesh.ts';
import { EndedConnections, data, kernelPath, startOver, takeBack } from './support/kernel-path.ts';
import * as scripts from './support/scripts.ts';

const sizes = { pods: 4, destinations: 16, flows: 16, egress: 64, verdicts: 1024 };

let mesh: Mesh;
const ended = new EndedConnections();
beforeAll(async () => {
  mesh = await startMesh({ sizes, kernelPath });
});
afterAll(async () => {
  ended.stop();
  await stopMesh(mesh);
});
beforeEach(() => {
  startOver(mesh);
  ended.listen(mesh);
});

const families = ['IPv4', 'IPv6'] as const;
const ipOf = (name: 'a' | 'b' | 'x', family: string): string => (family === 'IPv4' ? mesh[name].ip4 : mesh[name].ip6);

const dial = (from: 'a' | 'b' | 'x', ip: string, port = 8080): Promise<unknown> =>
  mesh.lab.run(mesh[from], scripts.connect, [ip, port]);

function lastAccepted(): { readonly client: SocketAddress; readonly local: SocketAddress } {
  const last = accepted.at(-1);
  if (last === undefined) throw new Error('ztunnel accepted nothing');
  return last;
}

/** What ztunnel would do with the connection it was handed last: ask who it is, and say yes. */
function allowLast(generation = mesh.datapath.kernelPath.generation): Dialler {
  const { client, local } = lastAccepted();
  const dialler = mesh.datapath.kernelPath.dialler(client, local);
  if (dialler.type === 'pod') {
    mesh.datapath.kernelPath.allow(dialler.podId, client, local, mesh.b.uid, generation);
  }
  return dialler;
}

/** From now on `a` reaches `b` on this port. */
async function allow(ip: string = mesh.b.ip4, port = 8080): Promise<void> {
  await dial('a', ip, port);
  expect(allowLast().type).toBe('pod');
}

const toZtunnel = (ip: string, port = 8080): unknown => data(`plaintext ${ip} ${port}`);
const toApplication = data('application b');
const captured: unknown = expect.objectContaining({ data: expect.stringContaining('captured') as unknown });

describe.each(families)('over %s a connection between pods of this node', (family) => {
  it('is handed to ztunnel first, which is told by the kernel whose it is', async () => {
    const ip = ipOf('b', family);
    expect(await dial('a', ip)).toEqual(toZtunnel(ip));
    expect(allowLast()).toMatchObject({ type: 'pod', uid: mesh.a.uid });
  });

  it('reaches the application from the second one on, under its own addresses', async () => {
    const ip = ipOf('b', family);
    await allow(ip);
    const before = mesh.datapath.counters().admittedKernel;
    expect(await dial('a', ip)).toMatchObject({
      peer: [ip, 8080],
      own: [ipOf('a', family), expect.any(Number)],
      data: 'application b',
    });
    expect(mesh.datapath.counters().admittedKernel - before).toBe(1n);
  });

  it('is asked about again after a change', async () => {
    const ip = ipOf('b', family);
    await allow(ip);
    expect(await dial('a', ip)).toEqual(toApplication);
    takeBack(mesh);
    expect(await dial('a', ip)).toEqual(toZtunnel(ip));
  });

  it('is asked about for each port, and in each direction', async () => {
    const ip = ipOf('b', family);
    await allow(ip);
    expect(await dial('a', ip, 9999)).toEqual(toZtunnel(ip, 9999));
    expect(await dial('b', ipOf('a', family))).toEqual(toZtunnel(ipOf('a', family)));
  });

  it('is told of when it has ended', async () => {
    const ip = ipOf('b', family);
    await allow(ip);
    await dial('a', ip);
    const record = await eventually('the end of the connection', () => Promise.resolve(ended.all[0]));
    expect(record).toMatchObject({
      source: { ip: ipOf('a', family) },
      destination: { ip, port: 8080 },
      sourceUid: mesh.a.uid,
      bytesSent: 0,
      retransmits: 0,
    });
    // One less where the server's end came together with its last bytes, of which the kernel does not tell.
    const whole = 'application b'.length;
    expect([whole - 1, whole]).toContain(record.bytesReceived);
    expect(ended.all).toHaveLength(1);
  });
});

describe('an answer of ztunnel', () => {
  it('that was made before a change is worth nothing after it', async () => {
    await dial('a', mesh.b.ip4);
    const { generation } = mesh.datapath.kernelPath;
    takeBack(mesh);
    allowLast(generation);
    expect(await dial('a', mesh.b.ip4)).toEqual(toZtunnel(mesh.b.ip4));
  });

  it('does not count for a pod that comes in the other’s place', async () => {
    const { lab, datapath, a } = mesh;
    await allow();
    expect(await dial('a', mesh.b.ip4)).toEqual(toApplication);
    datapath.unenrol(a.uid);
    await lab.enrol(datapath, a);
    expect(await dial('a', mesh.b.ip4)).toEqual(toZtunnel(mesh.b.ip4));
  });

  it('is not given for an address that is not the pod’s', async () => {
    const { a, b, lab } = mesh;
    const foreign = [b.ip4, 8080, '10.77.0.99', 0];
    sh(`ip -n ${nameOf(a.netns)} addr add 10.77.0.99/24 dev eth0`);
    expect(await lab.run(a, scripts.bindAndConnect, foreign)).toEqual(toZtunnel(b.ip4));
    expect(allowLast()).toEqual({ type: 'nobody' });
    expect(await lab.run(a, scripts.bindAndConnect, foreign)).toEqual(toZtunnel(b.ip4));
  });
});

const nameOf = (netns: string): string => netns.split('/').at(-1) ?? '';

describe('on somebody else’s verdict nobody gets by:', () => {
  beforeEach(() => allow());

  it('not a pod outside the mesh with the address of one inside', async () => {
    const { a, b, x, lab, datapath } = mesh;
    expect(await dial('a', b.ip4)).toEqual(toApplication);
    const before = datapath.counters();
    // Answers go to the real one, so no connection comes of it; where the SYN went is counted.
    sh(`ip -n ${nameOf(x.netns)} addr add ${a.ip4}/32 dev eth0`);
    try {
      await lab.run(x, scripts.bindAndConnect, [b.ip4, 8080, a.ip4, 0]);
    } finally {
      sh(`ip -n ${nameOf(x.netns)} addr del ${a.ip4}/32 dev eth0`);
      // It has learnt a wrong link address for the real one.
      sh(`ip -n ${nameOf(b.netns)} neigh flush dev eth0`);
    }
    const after = datapath.counters();
    expect(after.plaintext).toBeGreaterThan(before.plaintext);
    expect(after.admittedKernel).toBe(before.admittedKernel);
  });

  it('not a pod outside the mesh with its own', async () => {
    expect(await dial('x', mesh.b.ip4)).toEqual(toZtunnel(mesh.b.ip4));
    expect(allowLast()).toEqual({ type: 'stranger' });
  });

  it('not to the mesh’s own ports', async () => {
    for (const port of [15001, 15006, 15008]) expect(await dial('a', mesh.b.ip4, port)).toEqual(captured);
  });
});

describe('when the flows map is full', () => {
  it('a connection is dropped, and passes neither for the pod’s nor for plaintext', async () => {
    const { lab, b, datapath } = mesh;
    await allow();
    const release = await lab.hold(lab.host, scripts.holdConnections, [b.ip4, 8080, sizes.flows]);
    const before = datapath.counters().droppedUnrecorded;
    expect(await dial('a', b.ip4)).toEqual({ error: 'ECONNREFUSED' });
    expect(datapath.counters().droppedUnrecorded).toBeGreaterThan(before);
    await release();
    expect(await dial('a', b.ip4)).toEqual(toApplication);
  });
});

describe('a connection that is there', () => {
  it('is ended on both sides, and told of', async () => {
    const { lab, a, b, datapath } = mesh;
    await lab.listen(b.netns, 8081);
    await allow(b.ip4, 8081);
    const release = await lab.hold(a, scripts.holdConnections, [b.ip4, 8081, 2]);
    const live = datapath.kernelPath.connections();
    expect(live.map(({ sourceUid, destinationUid }) => [sourceUid, destinationUid])).toEqual([
      [a.uid, b.uid],
      [a.uid, b.uid],
    ]);
    await datapath.cut(live);
    await eventually('the end of both', () => Promise.resolve(ended.all.length === 2 || undefined));
    expect(datapath.kernelPath.connections()).toEqual([]);
    await release();
  });

  it('does not take the listener along when it has ended by itself', async () => {
    const { a, b, datapath } = mesh;
    const source = { ip: a.ip4, port: 40_000 as Port };
    const destination = { ip: b.ip4, port: 8080 as Port };
    const ids = { dialled: undefined, sourcePodId: 1, sourceUid: a.uid, destinationUid: b.uid };
    await datapath.cut([{ source, destination, ...ids, openedAt: 0n, cookie: 1n, isAdmitted: true, isAccelerated: false }]);
    await allow();
    expect(await dial('a', b.ip4)).toEqual(toApplication);
  });
});

describe('what is not on the kernel path', () => {
  it('is captured as ever: what aims at a Service none of whose endpoints takes it', async () => {
    mesh.datapath.apply(wholeMesh(mesh, { a: 'hbone', b: 'hbone' }));
    expect(await dial('a', '10.96.0.10', 80)).toEqual(captured);
  });

  it('is captured as ever: whatever goes to or comes from a pod that asks for HBONE', async () => {
    mesh.datapath.apply(wholeMesh(mesh, { b: 'hbone' }));
    expect(await dial('a', mesh.b.ip4)).toEqual(captured);
    expect(await dial('b', mesh.a.ip4)).toEqual(captured);
  });

  it('is direct, where a pod dials itself', async () => {
    expect(await dial('b', mesh.b.ip4)).toEqual(toApplication);
  });
});

it('verdicts can be read in names', async () => {
  await allow();
  expect(dumpMap(native, mesh.lab.pinRoot, 'verdicts')).toContainEqual(
    expect.objectContaining({ source: 'test/a', destination: 'test/b', port: 8080, state: 'in force' }),
  );
});

describe('without an agent', () => {
  it('who was allowed goes on, and once there is one again, it is asked', async () => {
    const { b } = mesh;
    await allow();
    ended.stop();
    stopAgent(mesh);
    expect(await dial('a', b.ip4)).toEqual(toApplication);
    await startAgent(mesh, { sizes, kernelPath });
    expect(await dial('a', b.ip4)).toEqual(toZtunnel(b.ip4));
  });

  it('who was allowed is asked as soon as there is one of another version, before that is in charge', async () => {
    const { b } = mesh;
    await allow();
    stopAgent(mesh);
    becomeAnotherVersion(mesh.lab);
    expect(await dial('a', b.ip4)).toEqual(toApplication);
    const next = await mesh.lab.open({ sizes, kernelPath });
    expect(await dial('a', b.ip4)).toEqual(toZtunnel(b.ip4));
    next.close();
    await startAgent(mesh, { sizes, kernelPath });
    expect(await dial('a', b.ip4)).toEqual(toZtunnel(b.ip4));
  });

  it('who was allowed is captured, once there is one that has it switched off', async () => {
    stopAgent(mesh);
    await startAgent(mesh, { sizes });
    expect(await dial('a', mesh.b.ip4)).toEqual(captured);
  });
});
