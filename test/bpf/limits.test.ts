/** Full maps: connections are refused or take the longer way, and none gets past the mesh. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { listMaps } from '../../src/datapath/inspect/maps.ts';
import { eventually } from '../netns/support/wait.ts';
import { meshOf, pod } from '../support/mesh-builder.ts';
import { native } from './support/lab.ts';
import { type Mesh, startMesh, stopMesh, wholeMesh } from './support/mesh.ts';
import * as scripts from './support/scripts.ts';

const sizes = { pods: 2, destinations: 8, flows: 8, egress: 64, verdicts: 64 };

let mesh: Mesh;
beforeAll(async () => {
  mesh = await startMesh({ sizes });
});
afterAll(() => stopMesh(mesh));

const dial = (from: 'a' | 'x', ip: string): Promise<unknown> => mesh.lab.run(mesh[from], scripts.connect, [ip, 8080]);

const occupancy = (): Record<string, number> =>
  Object.fromEntries(mesh.datapath.occupancy().map(({ map, entries }) => [map.name, entries]));

/** Of connections that were closed: each goes when the other side has acknowledged its end. */
const recordsGone = (): Promise<true> =>
  eventually('the records of connections to be gone', () => occupancy()['flows'] === 0 || undefined);

const nearlyFull = (): string[] =>
  listMaps(native, mesh.lab.pinRoot).flatMap((map) => (map.nearlyFull ? [map.name] : []));

describe('how full the maps are', () => {
  it('is what the kernel says, also where the agent counts for itself', () => {
    const listed = listMaps(native, mesh.lab.pinRoot).filter(({ name }) => name in occupancy());
    expect(occupancy()).toEqual(Object.fromEntries(listed.map(({ name, entries }) => [name, entries])));
    expect(occupancy()).toMatchObject({ pods: 2, local_pods: 4, listeners: 2, destinations: 6 });
    expect(mesh.datapath.occupancy().map(({ capacity }) => capacity)).toEqual(
      listed.map(({ capacity }) => capacity),
    );
  });

  it('is reported from 80 % on', async () => {
    const { lab, b } = mesh;
    expect(nearlyFull()).toEqual(['pods', 'listeners']);
    const release = await lab.hold(lab.host, scripts.holdConnections, [b.ip4, 8080, 7]);
    expect(occupancy()).toMatchObject({ flows: 7 });
    expect(nearlyFull()).toEqual(['pods', 'listeners', 'flows']);
    await release();
    await recordsGone();
  });
});

describe('when the flows map is full', () => {
  it('captured connections are refused and the node’s count as plaintext, until there is room again', async () => {
    const { lab, b, datapath } = mesh;
    const release = await lab.hold(lab.host, scripts.holdConnections, [b.ip4, 8080, sizes.flows]);
    const before = datapath.counters().flowsFull;

    expect(await dial('a', b.ip4)).toEqual({ error: 'ECONNREFUSED' });
    expect(await lab.run(lab.host, scripts.connect, [b.ip4, 8080])).toMatchObject({
      data: `plaintext ${b.ip4} 8080`,
    });
    expect(datapath.counters().flowsFull - before).toBe(2n);
    expect(occupancy()).toMatchObject({ flows: sizes.flows });

    await release();
    await recordsGone();
    expect(await dial('a', b.ip4)).toMatchObject({ data: `captured ${b.ip4} 8080 by pod 1` });
    expect(await lab.run(lab.host, scripts.connect, [b.ip4, 8080])).toMatchObject({ data: 'application b' });
  });
});

describe('when the destinations map is too small for the mesh', () => {
  const crowd = Array.from({ length: 20 }, (_, i) => pod(`test/p${i}`, { ips: [`10.99.0.${i + 1}`] }));

  it('every connection of enrolled pods goes through ztunnel, until the mesh fits again', async () => {
    const { datapath, x } = mesh;
    expect(await dial('a', x.ip4)).toMatchObject({ data: 'application x' });

    expect(datapath.apply(meshOf({ workloads: crowd }).view).complete).toBe(false);
    expect(await dial('a', x.ip4)).toMatchObject({ data: `captured ${x.ip4} 8080 by pod 1` });
    expect(datapath.counters().capturedUnknown).toBe(1n);
    expect(occupancy()).toMatchObject({ destinations: sizes.destinations });
    expect(await dial('x', mesh.a.ip4)).toMatchObject({ data: `plaintext ${mesh.a.ip4} 8080` });

    expect(datapath.apply(wholeMesh(mesh)).complete).toBe(true);
    expect(await dial('a', x.ip4)).toMatchObject({ data: 'application x' });
  });

  it('the same holds when a later change overflows it', async () => {
    const { datapath, x } = mesh;
    const store = meshOf({ workloads: crowd.slice(0, 8) });
    expect(datapath.apply(store.view).complete).toBe(true);
    const results: boolean[] = [];
    store.subscribe((view, diff) => results.push(datapath.apply(view, diff).complete));

    store.replace({ workloads: crowd, services: [], policies: [], peerAuthentications: [] });
    expect(await dial('a', x.ip4)).toMatchObject({ data: `captured ${x.ip4} 8080 by pod 1` });
    store.replace({ workloads: crowd.slice(12), services: [], policies: [], peerAuthentications: [] });
    expect(await dial('a', x.ip4)).toMatchObject({ data: 'application x' });
    expect(results).toEqual([false, true]);
    datapath.apply(wholeMesh(mesh));
  });
});

describe('when there is no room for another pod', () => {
  it('it is not enrolled, and nothing of it remains', async () => {
    const { lab, datapath, x } = mesh;
    lab.plaintextListener(x, await lab.listen(x.netns, 15006));
    await expect(lab.enrol(datapath, x)).rejects.toMatchObject({ code: 'BPF_MAP_FULL' });
    expect(datapath.enrolled().map(({ uid }) => uid)).toEqual([mesh.a.uid, mesh.b.uid]);
    expect(await dial('a', x.ip4)).toMatchObject({ data: 'application x' });
    expect(await dial('x', x.ip4)).toMatchObject({ data: 'application x' });
  });
});
