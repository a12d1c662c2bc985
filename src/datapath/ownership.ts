/**
 * Whose the mesh's objects in the kernel are, where several installations share one: nodes of a lab or of a test cluster,
 * a lab beside a node. Objects belong together that use each other; an installation is known by the cgroup it is
 * attached to. Pure.
 */
import type { LinkInfo, MapInfo, ProgramInfo } from '../native/binding.ts';
import { allHooks } from './hooks.ts';
import { allMapSpecs, mapTypes } from './maps.ts';

/** A piece of an installation, to be removed or still there. */
export interface Leftover {
  readonly kind: 'pin' | 'link' | 'program' | 'map';
  /** Path of a pin; the kernel's id and name of everything else. */
  readonly name: string;
}

export interface KernelObjects {
  readonly links: readonly LinkInfo[];
  readonly programs: readonly ProgramInfo[];
  readonly maps: readonly MapInfo[];
}

/** By what an installation's objects are told from those of others. */
export interface Owned {
  /** Names of what was pinned. */
  readonly objects: ReadonlySet<string>;
  /** Ids of the cgroups it is, or was, attached to. */
  readonly cgroups: ReadonlySet<bigint>;
}

export const linkEntry = ({ id }: LinkInfo): Leftover => ({ kind: 'link', name: `link ${id}` });
export const programEntry = ({ id, name }: ProgramInfo): Leftover => ({
  kind: 'program',
  name: `${name} (${id})`,
});
export const mapEntry = ({ id, name }: MapInfo): Leftover => ({ kind: 'map', name: `${name} (${id})` });

/** `enum bpf_link_type`. */
const linkTypes = { cgroup: 3, netns: 5 } as const;

/** The id is 0 once the cgroup is gone. */
export const cgroupOf = ({ type, targetId }: LinkInfo): bigint | undefined =>
  type === linkTypes.cgroup && targetId !== 0n ? targetId : undefined;

const namespaceOf = ({ type, targetId }: LinkInfo): bigint | undefined =>
  type === linkTypes.netns && targetId !== 0n ? targetId : undefined;

/** Of all that looks like the mesh's in the kernel, what is the owner's. */
export const ownedObjects = (kernel: KernelObjects, owned: Owned): readonly Leftover[] =>
  installationsIn(kernel)
    .filter((installation) => isOwned(installation, owned))
    .flatMap(entriesOf);

/** Inodes of the network namespaces that other installations capture: what is in them is theirs. */
export const othersNamespaces = (kernel: KernelObjects, owned: Owned): ReadonlySet<bigint> =>
  new Set(
    installationsIn(kernel)
      .filter((installation) => !isOwned(installation, owned))
      .flatMap(({ links }) => links.flatMap((link) => namespaceOf(link) ?? [])),
  );

/**
 * What is neither the owner's nor attached anywhere: of an installation that is just starting, or of nobody but a
 * program that holds it.
 */
export const unclaimedObjects = (kernel: KernelObjects, owned: Owned): readonly Leftover[] =>
  installationsIn(kernel)
    .filter((installation) => !isOwned(installation, owned) && cgroupsOf(installation).length === 0)
    .flatMap(entriesOf);

const isOwned = (installation: KernelObjects, { objects, cgroups }: Owned): boolean =>
  entriesOf(installation).some(({ name }) => objects.has(name)) ||
  cgroupsOf(installation).some((id) => cgroups.has(id));

const cgroupsOf = ({ links }: KernelObjects): readonly bigint[] =>
  links.flatMap((link) => cgroupOf(link) ?? []);

const entriesOf = ({ links, programs, maps }: KernelObjects): readonly Leftover[] => [
  ...links.map(linkEntry),
  ...programs.map(programEntry),
  ...maps.map(mapEntry),
];

/** Programs that share a map are of one installation, with their maps and links; a map that none uses is one by itself. */
function installationsIn(kernel: KernelObjects): readonly KernelObjects[] {
  const groups: { readonly programs: ProgramInfo[]; readonly mapIds: Set<number> }[] = [];
  for (const program of kernel.programs.filter(isOurProgram)) {
    const related = groups.filter(({ mapIds }) => program.mapIds.some((id) => mapIds.has(id)));
    for (const group of related) groups.splice(groups.indexOf(group), 1);
    groups.push({
      programs: [...related.flatMap(({ programs }) => programs), program],
      mapIds: new Set([...related.flatMap(({ mapIds }) => [...mapIds]), ...program.mapIds]),
    });
  }
  const used = new Set(groups.flatMap(({ mapIds }) => [...mapIds]));
  return [
    ...groups.map(({ programs, mapIds }) => ({
      links: kernel.links.filter(({ programId }) => programs.some(({ id }) => id === programId)),
      programs,
      maps: kernel.maps.filter(({ id }) => mapIds.has(id)),
    })),
    ...kernel.maps
      .filter((map) => isOurMap(map) && !used.has(map.id))
      .map((map) => ({ links: [], programs: [], maps: [map] })),
  ];
}

const programNames = new Set(allHooks.map(({ program }) => program));

const isOurProgram = ({ name }: ProgramInfo): boolean => programNames.has(name);

/** Map names are common words: the shape has to be ours too. */
const isOurMap = (info: MapInfo): boolean =>
  allMapSpecs.some(
    (spec) =>
      spec.name === info.name &&
      mapTypes[spec.type] === info.type &&
      spec.keyBytes === info.keySize &&
      spec.valueBytes === info.valueSize,
  );
