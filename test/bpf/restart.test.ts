/** What is pinned outlives the agent; the next one adopts it, repairs what is damaged, and replaces what is old. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { mkdirSync, rmdirSync, statSync, unlinkSync } from 'node:fs';
import { encode } from '../../src/datapath/abi/field.ts';
import { listPrograms } from '../../src/datapath/inspect/programs.ts';
import { mapSpecs, type MapSpec } from '../../src/datapath/maps.ts';
import type { Fd } from '../../src/native/binding.ts';
import { becomeAnotherVersion } from './support/another-version.ts';
import { type LabPod, native } from './support/lab.ts';
import { enrolBoth, type Mesh, startAgent, startMesh, stopAgent, stopMesh, wholeMesh } from './support/mesh.ts';
import { otherObject } from './support/other-objects.ts';
import * as scripts from './support/scripts.ts';

let mesh: Mesh;
beforeAll(async () => {
  mesh = await startMesh();
});
afterAll(() => stopMesh(mesh));
beforeEach(expectEverythingWorks);

const dial = async (from: 'a' | 'x', ip: string): Promise<unknown> => {
  const outcome = await mesh.lab.run(mesh[from], scripts.connect, [ip, 8080]);
  return typeof outcome === 'object' && outcome !== null && 'data' in outcome ? outcome.data : outcome;
};

/** Ids are never given twice, so a pod may have another one once its entries were lost. */
const idOf = ({ uid }: Pick<LabPod, 'uid'>): number =>
  mesh.datapath.enrolled().find((pod) => pod.uid === uid)?.podId ?? 0;

async function expectEverythingWorks(): Promise<void> {
  const { a, b, x, lab } = mesh;
  expect(await dial('a', b.ip4)).toBe(`captured ${b.ip4} 8080 by pod ${idOf(a)}`);
  expect(await dial('a', x.ip4)).toBe('application x');
  expect(await dial('x', a.ip6)).toBe(`plaintext ${a.ip6} 8080`);
  expect(await lab.run(lab.host, scripts.connect, [b.ip4, 8080])).toMatchObject({ data: 'application b' });
}

/** As before Linux 5.14. */
const withoutCookieOption = { ...native, netnsCookie: () => Promise.resolve(null) };

/** As the kernel says it, or, if it does not, an earlier agent. */
const cookieOf = async ({ netns }: { readonly netns: string }): Promise<bigint> =>
  (await native.netnsCookie(netns)) ?? (await mesh.datapath.netnsCookie(netns));

const stop = (): void => stopAgent(mesh);
const restart = (options?: Parameters<typeof startAgent>[1]): Promise<void> => startAgent(mesh, options);

const programTags = (): (string | undefined)[] =>
  listPrograms(native, mesh.lab.pinRoot).map(({ tag }) => tag);

function pinnedId(kind: 'maps' | 'progs', name: string): number {
  return withPin(kind, name, (fd) => (kind === 'maps' ? native.mapInfo(fd).id : native.programInfo(fd).id));
}

const idsByPod = (): unknown => new Map(mesh.datapath.enrolled().map(({ uid, podId }) => [uid, podId]));

const pinnedIds = (): number[] => [pinnedId('maps', 'pods'), pinnedId('progs', 'mesh_connect4')];

function withPin<T>(kind: 'maps' | 'progs' | 'links', name: string, use: (fd: Fd) => T): T {
  const fd = native.openPinned(mesh.lab.pin(kind, name));
  try {
    return use(fd);
  } finally {
    native.closeFd(fd);
  }
}

function deleteEntry<K, V>(spec: MapSpec<K, V>, key: K): void {
  expect(withPin('maps', spec.name, (fd) => native.mapDelete(fd, encode(spec.key, key)))).toBe(true);
}

function addEntry<K, V>(spec: MapSpec<K, V>, key: K, value: V): void {
  withPin('maps', spec.name, (fd) =>
    native.mapUpdate(fd, encode(spec.key, key), encode(spec.value, value), 0),
  );
}

describe('without an agent', () => {
  it('connections go on being captured and admitted as before', async () => {
    stop();
    const { b, x } = mesh;
    expect(await dial('a', b.ip4)).toBe('no agent');
    expect(await dial('a', x.ip4)).toBe('application x');
    expect(await dial('x', b.ip4)).toBe(`plaintext ${b.ip4} 8080`);
    await restart();
  });
});

describe('the next agent', () => {
  it('adopts maps, programs, links and pods, and pods keep their ids', async () => {
    const before = { ids: pinnedIds(), pods: mesh.datapath.enrolled() };
    stop();
    mesh.datapath = await mesh.lab.open();
    mesh.running = true;
    expect(mesh.datapath.enrolled()).toEqual(before.pods.map((pod) => ({ ...pod, netns: undefined })));
    await expectEverythingWorks();
    stop();
    await restart();
    expect(mesh.datapath.enrolled()).toEqual(before.pods);
    expect(pinnedIds()).toEqual(before.ids);
  });

  it('restores entries that were lost and removes entries that nobody wants', async () => {
    const { a, b, x, datapath } = mesh;
    const cookie = await datapath.netnsCookie(a.netns);
    stop();
    deleteEntry(mapSpecs.pods, cookie);
    deleteEntry(mapSpecs.localPods, a.ip6);
    deleteEntry(mapSpecs.destinations, b.ip4);
    const flags = { workload: true, service: false };
    addEntry(mapSpecs.destinations, x.ip4, { flags, label: 'test/x' });
    addEntry(mapSpecs.localPods, x.ip4, 99);
    expect(await dial('x', a.ip6)).toEqual({ error: 'ECONNREFUSED' });
    expect(await dial('a', b.ip4)).toBe(`plaintext ${b.ip4} 8080`);
    await restart();
    await expectEverythingWorks();
    expect(withPin('maps', 'local_pods', (fd) => native.mapLookup(fd, encode(mapSpecs.localPods.key, x.ip4)))).toBeNull();
  });

  it('attaches again what was detached or unpinned', async () => {
    stop();
    withPin('links', 'mesh_connect4', (fd) => native.linkDetach(fd));
    unlinkSync(mesh.lab.pin('links', 'mesh_sockops'));
    const inode = native.netnsId(mesh.a.netns).inode;
    withPin('links', `netns-${inode}`, (fd) => native.linkDetach(fd));
    expect(await dial('x', mesh.a.ip4)).toBe('application a');
    await restart();
    expect(listPrograms(native, mesh.lab.pinRoot).map(({ attached }) => attached)).toEqual(Array(9).fill(true));
  });

  it('with other programs updates the links in place, on the same maps', async () => {
    const before = { tags: programTags(), pods: pinnedId('maps', 'pods') };
    stop();
    await restart({ objectPath: otherObject('variant', mesh.lab.scratch()) });
    const tags = programTags();
    expect(tags).toHaveLength(before.tags.length);
    expect(tags).not.toEqual(before.tags);
    expect(pinnedId('maps', 'pods')).toBe(before.pods);
    await expectEverythingWorks();
    stop();
    await restart();
    expect(programTags()).toEqual(before.tags);
  });

  it('with other map sizes puts the new maps in force only when they are filled', async () => {
    const { b, x } = mesh;
    const before = pinnedId('maps', 'pods');
    stop();
    mesh.datapath = await mesh.lab.open({ sizes: { pods: 32, destinations: 128, flows: 128, egress: 64, verdicts: 64 } });
    // The old programs and maps still enforce.
    expect(pinnedId('maps', 'pods')).toBe(before);
    expect(await dial('x', b.ip4)).toBe(`plaintext ${b.ip4} 8080`);
    expect(await dial('a', x.ip4)).toBe('application x');
    expect(await dial('a', b.ip4)).toBe('no agent');
    mesh.running = true;
    await enrolBoth(mesh);
    mesh.datapath.apply(wholeMesh(mesh));
    mesh.datapath.activate();
    expect(pinnedId('maps', 'pods')).not.toBe(before);
    await expectEverythingWorks();
    stop();
    await restart();
  });

  it('learns cookies from the programs where the kernel does not tell them', async () => {
    const { a } = mesh;
    const cookie = await cookieOf(a);
    stop();
    await restart({ native: withoutCookieOption });
    expect(await mesh.datapath.netnsCookie(a.netns)).toBe(cookie);
    await expectEverythingWorks();
    stop();
    await restart();
  });

  it('does not adopt maps of another version, which stay in force until their successors are filled', async () => {
    const { b, x } = mesh;
    const pods = idsByPod();
    stop();
    becomeAnotherVersion(mesh.lab);
    const before = pinnedIds();
    mesh.datapath = await mesh.lab.open({ native: withoutCookieOption });
    // Their pods are known, and stay captured whoever is enrolled by now.
    expect(idsByPod()).toEqual(pods);
    expect(pinnedIds()).toEqual(before);
    expect(await dial('a', b.ip4)).toBe('no agent');
    expect(await dial('x', b.ip4)).toBe(`plaintext ${b.ip4} 8080`);
    expect(await dial('a', x.ip4)).toBe('application x');
    mesh.datapath.close();
    await restart();
    expect(pinnedIds()).not.toEqual(before);
  });

  it.each([
    ['that tells cookies', native],
    ['that does not', withoutCookieOption],
  ])('survives the loss of all map pins on a kernel %s', async (_which, withNative) => {
    stop();
    for (const spec of Object.values(mapSpecs)) unlinkSync(mesh.lab.pin('maps', spec.name));
    await restart({ native: withNative });
    await expectEverythingWorks();
    stop();
    await restart();
  });
});

describe('the next agent in another cgroup, as in the next pod of a DaemonSet', () => {
  it('lets the one before finish what it began, and no longer', async () => {
    const { lab, a, b } = mesh;
    const next = `${lab.cgroupRoot}/ztunnel-next`;
    mkdirSync(next);
    const dialAs = async (cgroup: string): Promise<unknown> =>
      await lab.run({ netns: a.netns, cgroup }, scripts.connect, [b.ip4, 8080]);
    try {
      stop();
      await restart({ ztunnelCgroup: next });
      expect(mesh.datapath.drainedCgroup()).toBe(statSync(lab.ztunnelCgroup, { bigint: true }).ino);
      for (const cgroup of [next, lab.ztunnelCgroup]) {
        expect(await dialAs(cgroup)).toMatchObject({ data: 'application b' });
      }
      // A restart in between changes nothing.
      stop();
      await restart({ ztunnelCgroup: next });
      expect(await dialAs(lab.ztunnelCgroup)).toMatchObject({ data: 'application b' });
      mesh.datapath.endDraining();
      expect(mesh.datapath.drainedCgroup()).toBeUndefined();
      expect(await dialAs(next)).toMatchObject({ data: 'application b' });
      expect(await dialAs(lab.ztunnelCgroup)).toMatchObject({ data: `captured ${b.ip4} 8080 by pod ${idOf(a)}` });
    } finally {
      if (mesh.running) stop();
      await restart();
      mesh.datapath.endDraining();
      rmdirSync(next);
    }
  });
});

describe('the next agent of another version, in another cgroup, where the kernel tells no cookies', () => {
  it('learns them from its own program before it is in charge', async () => {
    const { lab, a, b } = mesh;
    const next = `${lab.cgroupRoot}/ztunnel-next`;
    mkdirSync(next);
    const cookie = await cookieOf(a);
    stop();
    becomeAnotherVersion(mesh.lab);
    try {
      const options = { native: withoutCookieOption, ztunnelCgroup: next };
      const second = await lab.as(next, () => lab.open(options));
      try {
        expect(await lab.as(next, () => second.netnsCookie(a.netns))).toBe(cookie);
        expect(await dial('a', b.ip4)).toBe('no agent');
      } finally {
        second.close();
      }
    } finally {
      await restart();
      rmdirSync(next);
    }
  });
});

describe('two agents', () => {
  it('cannot be in charge of the same pins', async () => {
    await expect(mesh.lab.open()).rejects.toMatchObject({ code: 'ALREADY_EXISTS' });
  });
});

