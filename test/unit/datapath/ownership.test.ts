import { describe, expect, it } from '@jest/globals';
import {
  type KernelObjects,
  othersNamespaces,
  type Owned,
  ownedObjects,
  unclaimedObjects,
} from '../../../src/datapath/ownership.ts';

const program = (id: number, name: string, ...mapIds: number[]) => ({
  id,
  name,
  mapIds,
  type: 18,
  tag: '0',
  runCount: 0n,
  runTimeNs: 0n,
});
const link = (id: number, programId: number, cgroup: bigint) => ({
  id,
  programId,
  type: 3,
  attachType: 10,
  targetId: cgroup,
});
const map = (id: number, name: string) => ({
  id,
  name,
  type: 1,
  keySize: 8,
  valueSize: 16,
  maxEntries: 9,
  flags: 0,
});

/** A node's: two programs that share the map of pods, one attached to its cgroup, one to a pod. */
const node = (base: number, cgroup: bigint): KernelObjects => ({
  links: [link(base, base, cgroup), { ...link(base + 1, base + 1, BigInt(base + 77)), type: 5 }],
  programs: [
    program(base, 'mesh_connect4', base, base + 1),
    program(base + 1, 'mesh_sk_lookup', base, base + 2),
  ],
  maps: [map(base, 'pods'), map(base + 1, 'mesh_con.rodata'), map(base + 2, 'flows')],
});

const both = (a: KernelObjects, b: KernelObjects): KernelObjects => ({
  links: [...a.links, ...b.links],
  programs: [...a.programs, ...b.programs],
  maps: [...a.maps, ...b.maps],
});

const owned = (fields: { objects?: readonly string[]; cgroups?: readonly bigint[] }): Owned => ({
  objects: new Set(fields.objects),
  cgroups: new Set(fields.cgroups),
});

const kernel = both(node(10, 1n), node(20, 2n));
const namesOfFirst = [
  'link 10',
  'link 11',
  'mesh_connect4 (10)',
  'mesh_sk_lookup (11)',
  'pods (10)',
  'mesh_con.rodata (11)',
  'flows (12)',
];
const names = (found: readonly { readonly name: string }[]) => found.map(({ name }) => name);

describe('of two installations in one kernel', () => {
  it('one is known by its cgroup, with the maps and links that hang together with what is attached there', () => {
    expect(names(ownedObjects(kernel, owned({ cgroups: [1n] })))).toEqual(namesOfFirst);
  });

  it('one is known by any object that was pinned, whatever else is pinned no more', () => {
    expect(names(ownedObjects(kernel, owned({ objects: ['flows (12)'] })))).toEqual(namesOfFirst);
  });

  it('has its pods’ namespaces to itself', () => {
    expect(othersNamespaces(kernel, owned({ cgroups: [1n] }))).toEqual(new Set([97n]));
  });

  it('the other is nobody’s business, and nothing is unclaimed', () => {
    const removed = both({ links: [], programs: [], maps: [] }, node(20, 2n));
    expect(ownedObjects(removed, owned({ objects: namesOfFirst, cgroups: [1n] }))).toEqual([]);
    expect(unclaimedObjects(removed, owned({ cgroups: [1n] }))).toEqual([]);
  });
});

describe('what is attached nowhere', () => {
  const { programs, maps } = node(30, 3n);
  const starting = { links: [], programs, maps };

  it('is unclaimed: an installation that starts has attached nothing yet', () => {
    const all = both(node(10, 1n), starting);
    expect(names(ownedObjects(all, owned({ cgroups: [1n] })))).toEqual(namesOfFirst);
    expect(names(unclaimedObjects(all, owned({ cgroups: [1n] })))).toContain('mesh_connect4 (30)');
  });

  it('is the owner’s if it was pinned by it', () => {
    expect(names(ownedObjects(starting, owned({ objects: ['pods (30)'] })))).toHaveLength(5);
  });

  it('and whose cgroup is gone, is unclaimed too', () => {
    expect(unclaimedObjects(node(30, 0n), owned({})).length).toBeGreaterThan(0);
  });
});

it('programs of others are nobody’s here, whatever they are attached to', () => {
  const others = {
    links: [link(1, 1, 1n)],
    programs: [program(1, 'sd_fw_ingress', 1)],
    maps: [map(1, 'pods')],
  };
  expect(ownedObjects(others, owned({ cgroups: [1n] }))).toEqual([]);
});
