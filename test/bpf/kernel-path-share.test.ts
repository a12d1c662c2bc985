/** One pod’s share of the kernel path: what is more is refused, nobody else notices, and nothing of it is ever left over. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { decode, encode } from '../../src/datapath/abi/field.ts';
import { flow, flowKey } from '../../src/datapath/abi/layout.ts';
import { flowKeyOf } from '../../src/datapath/kernel-path/kernel-path.ts';
import { Pins } from '../../src/datapath/pins.ts';
import { eventually } from '../netns/support/wait.ts';
import { allow, data, forgetAccepted, kernelPath, startOver } from './support/kernel-path.ts';
import { native } from './support/lab.ts';
import { type Mesh, startAgent, startMesh, stopAgent, stopMesh } from './support/mesh.ts';
import { packetRule } from './support/pod-network.ts';
import * as scripts from './support/scripts.ts';
import * as sockets from './support/socket-scripts.ts';

const share = 4;
const options = {
  sizes: { pods: 4, destinations: 16, flows: 512, egress: 64, verdicts: 1024 },
  kernelPath: { ...kernelPath, connectionsPerPod: share },
};

let mesh: Mesh;
beforeAll(async () => {
  mesh = await startMesh(options);
  for (const pod of [mesh.a, mesh.b]) await mesh.lab.listen(pod.netns, 8081);
});
afterAll(() => stopMesh(mesh));
beforeEach(async () => {
  startOver(mesh);
  await allow(mesh, mesh.a, mesh.b, mesh.b.ip4, 8080);
  await allow(mesh, mesh.a, mesh.b, mesh.b.ip4, 8081);
  await has('a', 0);
});

const dial = (from: 'a' | 'b'): Promise<unknown> =>
  mesh.lab.run(mesh[from], scripts.connect, [mesh[from === 'a' ? 'b' : 'a'].ip4, 8080]);

const used = (name: 'a' | 'b'): number | undefined =>
  mesh.datapath.kernelPath.shares().find(({ pod }) => pod.uid === mesh[name].uid)?.used;

const has = (name: 'a' | 'b', count: number): Promise<unknown> =>
  eventually(`${name} to have ${count} connections`, () => used(name) === count || undefined);

/** ztunnel gets those that were given up, too. */
const allLookedAt = (): Promise<unknown> =>
  eventually('all of them to be looked at', () => {
    forgetAccepted(mesh);
    return used('a') === 0 || undefined;
  });

const hold = (count: number): Promise<() => Promise<string>> =>
  mesh.lab.hold(mesh.a, scripts.holdConnections, [mesh.b.ip4, 8081, count]);

/** As if that much time had passed. */
function ageRecords(ns: bigint): void {
  new Pins(native, mesh.lab.pinRoot).with('maps', 'flows', (fd) => {
    const { keys, values, count } = native.mapDump(fd);
    for (let i = 0; i < count; i++) {
      const one = decode(flow, values.subarray(i * flow.sizeBytes, (i + 1) * flow.sizeBytes));
      const key = keys.subarray(i * flowKey.sizeBytes, (i + 1) * flowKey.sizeBytes);
      native.mapUpdate(fd, key, encode(flow, { ...one, openedAt: one.openedAt - ns }), 0);
    }
  });
}

const application = data('application b');
const refused = { error: 'EPERM' };

describe('a pod that has all connections that one pod may have', () => {
  it('is refused more, and counted, until one of them ends', async () => {
    const release = await hold(share);
    const before = mesh.datapath.counters().refusedShare;
    expect(await dial('a')).toEqual(refused);
    expect(mesh.datapath.counters().refusedShare - before).toBe(1n);
    await release();
    await has('a', 0);
    expect(await dial('a')).toEqual(application);
  });

  it('leaves all others what they have', async () => {
    const release = await hold(share);
    await allow(mesh, mesh.b, mesh.a, mesh.a.ip4, 8080);
    expect(await dial('b')).toEqual(data('application a'));
    expect(await mesh.lab.run(mesh.lab.host, scripts.connect, [mesh.b.ip4, 8080])).toEqual(application);
    // A port that the Service does not have is ztunnel's: there is no endpoint to draw.
    expect(await mesh.lab.run(mesh.a, scripts.connect, ['10.96.0.10', 81])).toEqual(
      expect.objectContaining({ data: expect.stringContaining('captured') as unknown }),
    );
    await release();
  });

  it('has them after the agent was replaced, too, and has none when they have ended without one', async () => {
    const release = await hold(share);
    stopAgent(mesh);
    await startAgent(mesh, options);
    expect(used('a')).toBe(share);
    expect(await dial('a')).toEqual(refused);
    stopAgent(mesh);
    await release();
    await startAgent(mesh, options);
    await has('a', 0);
  });

  it('begins anew when it is enrolled anew, whatever is open', async () => {
    const release = await hold(share);
    mesh.datapath.unenrol(mesh.a.uid);
    await mesh.lab.enrol(mesh.datapath, mesh.a);
    expect(used('a')).toBe(0);
    await allow(mesh, mesh.a, mesh.b, mesh.b.ip4, 8080);
    await release();
    await has('a', 0);
    expect(await dial('a')).toEqual(application);
  });
});

describe('what counts', () => {
  it('is a connection that was given up, too, as long as ztunnel has not looked at it', async () => {
    forgetAccepted(mesh);
    const before = mesh.datapath.counters().refusedShare;
    await expect(mesh.lab.run(mesh.a, sockets.giveUpAtOnce, [mesh.b.ip4, 9999, 50])).resolves.toBe(50);
    expect(used('a')).toBeLessThanOrEqual(share);
    expect(mesh.datapath.counters().refusedShare).toBeGreaterThan(before);
    await allLookedAt();
  });

  it('is one that never got as far as ztunnel, for a minute', async () => {
    const open = packetRule(mesh.a, 'input', 'tcp sport 9997 drop');
    const asked = mesh.datapath.counters().kernelAsked;
    try {
      expect(await mesh.lab.run(mesh.a, sockets.giveUp, [mesh.b.ip4, 9997])).toBe('gave up');
    } finally {
      open();
    }
    expect(mesh.datapath.counters().kernelAsked).toBeGreaterThan(asked);
    mesh.datapath.kernelPath.sweep();
    expect(used('a')).toBe(1);
    ageRecords(60_000_000_001n);
    mesh.datapath.kernelPath.sweep();
    expect(used('a')).toBe(0);
  });

  it('comes to nothing after a hundred connections and more, asked about and not, at once', async () => {
    const { a, b, lab } = mesh;
    await Promise.all(
      [8080, 8081, 9998, 8080].map((port) => lab.run(a, sockets.tryAll, [b.ip4, port, 40])),
    );
    await allLookedAt();
    expect(mesh.datapath.occupancy().find(({ map }) => map.name === 'flows')?.entries).toBe(0);
  });

  it('is put right if an agent died before it could say what it had removed', async () => {
    const release = await hold(share);
    const [first] = mesh.datapath.kernelPath.connections();
    if (first === undefined) throw new Error('there is no connection');
    const key = encode(flowKey, flowKeyOf(first.source, first.destination));
    new Pins(native, mesh.lab.pinRoot).with('maps', 'flows', (fd) => native.mapDelete(fd, key));
    expect(used('a')).toBe(share);
    stopAgent(mesh);
    await startAgent(mesh, options);
    expect(used('a')).toBe(share - 1);
    await release();
    await has('a', 0);
  });
});
