/** What the CLI can tell of an installation from its pins alone, and that uninstalling leaves none of it. */
import { mkdirSync, rmdirSync, statSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { dumpMap, findRows, listMaps } from '../../src/datapath/inspect/maps.ts';
import { countedBetween, listPrograms, startCounting } from '../../src/datapath/inspect/programs.ts';
import { type Feature, probeFeatures } from '../../src/datapath/probe.ts';
import { findLeftovers, installedObjects, ownedBy, uninstallDatapath } from '../../src/datapath/uninstall.ts';
import { abiVersion } from '../../src/datapath/abi/layout.ts';
import { native } from './support/lab.ts';
import { type Mesh, startMesh, stopAgent, stopMesh } from './support/mesh.ts';
import * as scripts from './support/scripts.ts';

let mesh: Mesh;
beforeAll(async () => {
  mesh = await startMesh();
});
afterAll(() => stopMesh(mesh));

const dump = (name: string): ReturnType<typeof dumpMap> => dumpMap(native, mesh.lab.pinRoot, name);

describe('the list of maps', () => {
  it('has every map with its purpose, how many entries it has, and how many it can have', () => {
    const maps = listMaps(native, mesh.lab.pinRoot);
    expect(maps.every(({ pinned, purpose }) => pinned && purpose !== '')).toBe(true);
    const named = (name: string): unknown => maps.find((map) => map.name === name);
    expect(named('pods')).toMatchObject({ type: 'hash', entries: 2, capacity: 16 });
    expect(named('local_pods')).toMatchObject({ entries: 4, capacity: 64 });
    expect(named('destinations')).toMatchObject({ entries: 6, capacity: 64 });
    expect(named('listeners')).toMatchObject({ type: 'sockhash', entries: 2 });
    expect(named('sockets')).toMatchObject({ entries: undefined, capacity: undefined });
    expect(named('config')).toMatchObject({ entries: 1, capacity: 1 });
    expect(maps.filter(({ nearlyFull }) => nearlyFull)).toEqual([]); // though an array is always full
  });

  it('says of each that it is missing where nothing is installed', () => {
    const maps = listMaps(native, '/sys/fs/bpf/mebpf-bpf-nothing');
    expect(maps.every(({ pinned, entries }) => !pinned && entries === undefined)).toBe(true);
  });
});

describe('the contents of a map', () => {
  it('read as names and addresses', () => {
    const { a, b } = mesh;
    expect(findRows(dump('destinations'), 'test/web')).toEqual([
      { address: '10.96.0.10', name: 'test/web', kind: 'service' },
    ]);
    expect(dump('destinations')).toContainEqual({ address: b.ip6, name: 'test/b', kind: 'workload' });
    expect(findRows(dump('local_pods'), 'FD77:0:0::10')).toEqual([
      { address: a.ip6, podId: 1, pod: 'test/a' },
    ]);
    expect(dump('pods')).toContainEqual(
      expect.objectContaining({ podId: 2, pod: 'test/b', uid: b.uid, ip4: b.ip4, ip6: b.ip6 }),
    );
    expect(dump('listeners')).toContainEqual(expect.objectContaining({ podId: 1, pod: 'test/a' }));
    expect(dump('config')).toEqual([expect.objectContaining({ captureUnknown: false, abi: abiVersion })]);
    expect(dump('shares')).toContainEqual(expect.objectContaining({ podId: 0, pod: 'all' }));
    expect(dump('cookies')).toEqual([]);
  });

  it('show a captured connection that ztunnel has not accepted, with what it dialled', async () => {
    const { lab, a, b } = mesh;
    stopAgent(mesh);
    await lab.run(a, scripts.connect, ['10.96.0.10', 80]);
    const release = await lab.hold(lab.host, scripts.holdConnections, [b.ip4, 8080, 1]);
    expect(dump('flows')).toContainEqual(
      expect.objectContaining({ destination: `${b.ip4}:8080`, destinationName: 'test/b', origin: 'host' }),
    );
    await release();
    const held = await lab.hold(a, scripts.holdConnections, ['10.96.0.10', 80, 1]);
    expect(dump('flows')).toEqual([
      expect.objectContaining({
        sourceName: 'test/a',
        destination: `${a.ip4}:15001`,
        origin: 'captured',
        pod: 'test/a',
        dialled: '10.96.0.10:80',
        dialledName: 'test/web',
      }),
    ]);
    await held();
    // Closed sockets take their records with them.
    expect(dump('flows')).toEqual([]);
  });

  it('count events by name', () => {
    const counters = dump('counters');
    expect(findRows(counters, 'captured')).toEqual([
      { counter: 'captured', value: '2', counts: expect.stringContaining('sent to ztunnel') },
    ]);
  });

  it('are an error with the right names for a map that does not exist, or cannot be listed', () => {
    expect(() => dump('nonsense')).toThrow(
      expect.objectContaining({ code: 'NOT_FOUND', hint: expect.stringContaining('destinations') }),
    );
    expect(() => dump('sockets')).toThrow(expect.objectContaining({ code: 'UNSUPPORTED' }));
    expect(() => dumpMap(native, '/sys/fs/bpf/mebpf-bpf-nothing', 'pods')).toThrow(
      expect.objectContaining({ code: 'NOT_FOUND' }),
    );
  });
});

describe('the list of programs', () => {
  it('says what the kernel has attached, and where', () => {
    const programs = listPrograms(native, mesh.lab.pinRoot);
    expect(programs.map(({ program, attached }) => [program, attached])).toEqual([
      ['mesh_sockops', true],
      ['mesh_peername4', true],
      ['mesh_peername6', true],
      ['mesh_sendmsg4', true],
      ['mesh_sendmsg6', true],
      ['mesh_connect4', true],
      ['mesh_connect6', true],
      ['mesh_sk_lookup', true],
      ['mesh_sk_lookup', true],
    ]);
    expect(programs.slice(-2).map(({ target }) => target).toSorted()).toEqual(['test/a', 'test/b']);
    expect(programs.every(({ tag }) => /^[0-9a-f]{16}$/.test(tag ?? ''))).toBe(true);
  });

  it('says what they did while the kernel was told to count', async () => {
    const { lab, a } = mesh;
    const stop = startCounting(native);
    const before = listPrograms(native, lab.pinRoot);
    const connects = 20;
    for (let i = 0; i < connects; i++) await lab.run(a, scripts.connect, ['10.96.0.10', 80]);
    const counted = countedBetween(before, listPrograms(native, lab.pinRoot));
    stop();
    const named = (name: string): unknown => counted.find(({ program }) => program === name);
    expect(named('mesh_connect4')).toMatchObject({ runs: BigInt(connects) });
    for (const name of ['mesh_connect4', 'mesh_sockops', 'mesh_sk_lookup']) {
      const { runs, totalNs, averageNs } = named(name) as (typeof counted)[number];
      expect(runs).toBeGreaterThanOrEqual(connects);
      expect(totalNs).toBeGreaterThan(runs);
      expect(averageNs).toBeGreaterThan(10);
    }
    expect(named('mesh_connect6')).toMatchObject({ runs: 0n, averageNs: undefined });
  });

  it('shows what is not attached', () => {
    const fd = native.openPinned(mesh.lab.pin('links', 'mesh_connect6'));
    native.linkDetach(fd);
    native.closeFd(fd);
    const found = listPrograms(native, mesh.lab.pinRoot).filter(({ attached }) => !attached);
    expect(found.map(({ program }) => program)).toEqual(['mesh_connect6']);
  });
});

const missing = (features: readonly Feature[]): readonly string[] =>
  features.flatMap(({ name, found }) => (found ? [] : [name]));

describe('probing the kernel', () => {
  it('finds everything that this kernel has been using in these tests', async () => {
    const features = await probeFeatures(native, { cgroupRoot: mesh.lab.cgroupRoot, bpffs: '/sys/fs/bpf' });
    expect(features.filter(({ required, found }) => required && !found)).toEqual([]);
    const elsewhere = await probeFeatures(native, { cgroupRoot: '/tmp', bpffs: '/nowhere' });
    expect(missing(elsewhere)).toEqual(['cgroup v2', 'BPF file system', ...missing(features)]);
  });
});

describe('uninstalling', () => {
  it('is proved of one installation, while another with the same kernel goes on', async () => {
    const { lab } = mesh;
    const cgroupRoot = `${lab.cgroupRoot}/beside`;
    const beside = { pinRoot: `${lab.pinRoot}-beside`, cgroupRoot, ztunnelCgroup: `${cgroupRoot}/ztunnel` };
    mkdirSync(beside.ztunnelCgroup, { recursive: true });
    const first = installedObjects(native, lab.pinRoot);
    const second = await lab.as(beside.ztunnelCgroup, () => lab.open(beside));
    second.activate();
    second.close();
    const owned = ownedBy(native, [beside.pinRoot]);
    const found = (await findLeftovers(native, [beside.pinRoot], owned)).map(({ name }) => name);
    expect(found).toEqual(
      expect.arrayContaining(installedObjects(native, beside.pinRoot).map(({ name }) => name)),
    );
    expect(found.filter((name) => first.some((object) => object.name === name))).toEqual([]);

    expect(uninstallDatapath(native, beside.pinRoot)).toBeGreaterThan(0);
    expect(await findLeftovers(native, [beside.pinRoot], owned)).toEqual([]);
    expect(installedObjects(native, lab.pinRoot)).toEqual(first);
    // What is pinned nowhere that we know is found by the cgroup it is attached to.
    const byCgroup = ownedBy(native, [], statSync(lab.cgroupRoot, { bigint: true }).ino);
    expect(await findLeftovers(native, [], byCgroup)).toEqual(expect.arrayContaining([...first]));
    for (const path of [beside.ztunnelCgroup, cgroupRoot]) rmdirSync(path);
    // Where something is left, the kernel is given three seconds to free it.
  }, 30_000);

  it('leaves no pin, link, program or map, and pods work as if there had been no mesh', async () => {
    const { lab, a, b, x } = mesh;
    const owned = ownedBy(native, [lab.pinRoot]);
    const pins = (await findLeftovers(native, [lab.pinRoot], owned)).filter(({ kind }) => kind === 'pin');
    expect(pins.map(({ name }) => name)).toContain(lab.pin('maps', 'pods'));

    const installed = installedObjects(native, lab.pinRoot);
    const count = (wanted: string): number => installed.filter(({ kind }) => kind === wanted).length;
    expect([count('link'), count('program'), count('map')]).toEqual([9, 9, 24]);
    expect(uninstallDatapath(native, lab.pinRoot)).toBe(installed.length);
    expect(await findLeftovers(native, [lab.pinRoot], owned)).toEqual([]);
    expect(uninstallDatapath(native, lab.pinRoot)).toBe(0);
    expect(await lab.run(a, scripts.connect, [b.ip4, 8080])).toMatchObject({ data: 'application b' });
    expect(await lab.run(x, scripts.connect, [a.ip6, 8080])).toMatchObject({ data: 'application a' });
  });

  it('is refused while a node program is in charge, and finds what someone else keeps alive', async () => {
    const { lab } = mesh;
    mesh.datapath = await lab.open();
    expect(() => uninstallDatapath(native, lab.pinRoot)).toThrow(
      expect.objectContaining({ code: 'ALREADY_EXISTS' }),
    );
    mesh.datapath.close();
    const held = native.openPinned(lab.pin('maps', 'pods'));
    const owned = ownedBy(native, [lab.pinRoot]);
    uninstallDatapath(native, lab.pinRoot);
    const left = await findLeftovers(native, [lab.pinRoot], owned);
    expect(left).toEqual([{ kind: 'map', name: expect.stringMatching(/^pods \(\d+\)$/) }]);
    native.closeFd(held);
  });
});
