/**
 * Loads the BPF object next to what is pinned and says what is to change. Pinned maps are used again if they have
 * the size and meaning this agent wants; a pinned program stays if it is the same program (the kernel's hash of its
 * instructions) on the same maps. Nothing is attached or pinned here: `installation.ts` does.
 */
import { MeshError } from '../base/errors.ts';
import type { BpfObject, Fd, MapInfo, NativeBinding, ProgramInfo } from '../native/binding.ts';
import { toMeshError } from '../native/errors.ts';
import { assertSameLayout } from './abi/check.ts';
import { decode } from './abi/field.ts';
import { abiVersion } from './abi/layout.ts';
import { bpfCall } from './bpf-error.ts';
import { allHooks } from './hooks.ts';
import type { LoadedProgram } from './links.ts';
import { type AnyMapSpec, type MapSizes, allMapSpecs, mapSpecs, mapTypes } from './maps.ts';
import type { Pins } from './pins.ts';

export interface LoadDeps {
  readonly native: NativeBinding;
  readonly pins: Pins;
}

/** Everything a running data path consists of, whether pinned already or about to be. The descriptors are the holder's. */
export interface Programs {
  readonly programs: ReadonlyMap<string, LoadedProgram>;
  readonly maps: ReadonlyMap<string, Fd>;
  /** Names of those that are not pinned yet. */
  readonly newPrograms: readonly string[];
  readonly newMaps: readonly string[];
}

/** @throws MeshError ABI_MISMATCH, BPF_LOAD */
export function loadPrograms(deps: LoadDeps, objectPath: string, sizes: MapSizes): Programs {
  const { native, pins } = deps;
  assertSameLayout(
    bpfCall('BPF_LOAD', `reading ${objectPath}`, () => native.btfStructs(objectPath)),
    objectPath,
  );
  const object = bpfCall('BPF_LOAD', `opening ${objectPath}`, () => native.openObject(objectPath));
  try {
    const newMaps = allMapSpecs.filter((spec) => !reuse(deps, object, spec, sizes)).map(({ name }) => name);
    load(object, objectPath);
    const choices = allHooks.map((hook) => ({
      name: hook.program,
      ...choose(native, pins, object, hook.program),
    }));
    return {
      programs: new Map(choices.map(({ name, program }) => [name, program])),
      maps: new Map(allMapSpecs.map(({ name }) => [name, object.mapFd(name)])),
      newPrograms: choices.filter(({ isNew }) => isNew).map(({ name }) => name),
      newMaps,
    };
  } finally {
    object.close();
  }
}

/**
 * What is pinned, as it is, if all of it is there and of our layout.
 * @returns undefined if it is not
 */
export function pinnedPrograms(deps: LoadDeps, sizes: MapSizes): Programs | undefined {
  const { native, pins } = deps;
  const maps = allMapSpecs.map((spec) => ({ spec, fd: pins.open('maps', spec.name) }));
  const programs = allHooks.map(({ program: name }) => ({ name, fd: pins.open('progs', name) }));
  const fitting = maps.flatMap(({ spec, fd }) =>
    fd !== undefined && fits(native.mapInfo(fd), spec, sizes) ? [[spec.name, fd] as const] : [],
  );
  const pinned = programs.flatMap(({ name, fd }) =>
    fd === undefined ? [] : [[name, { id: native.programInfo(fd).id, fd }] as const],
  );
  if (fitting.length === maps.length && pinned.length === programs.length && hasOurMeaning(deps)) {
    return { programs: new Map(pinned), maps: new Map(fitting), newPrograms: [], newMaps: [] };
  }
  for (const { fd } of [...maps, ...programs]) if (fd !== undefined) native.closeFd(fd);
  return undefined;
}

/** Whether the object takes the pinned map, because that fits; otherwise sets the size of the one to be made. */
function reuse(deps: LoadDeps, object: BpfObject, spec: AnyMapSpec, sizes: MapSizes): boolean {
  const { native, pins } = deps;
  const reused = pins.with('maps', spec.name, (fd) => {
    if (!fits(native.mapInfo(fd), spec, sizes) || !(isUnversioned(spec) || hasOurMeaning(deps))) return false;
    object.reuseMap(spec.name, fd);
    return true;
  });
  if (reused === true) return true;
  if (isUnversioned(spec) && takeFromPrograms(deps, object, spec, sizes)) return false;
  const entries = spec.entries(sizes);
  if (entries > 0) object.setMaxEntries(spec.name, entries);
  return false;
}

/** A map whose pin was lost is found by the pinned programs, which go on using it. It is to be pinned again. */
function takeFromPrograms(
  { native, pins }: LoadDeps,
  object: BpfObject,
  spec: AnyMapSpec,
  sizes: MapSizes,
): boolean {
  const used = pins
    .list('progs')
    .flatMap((name) => pins.with('progs', name, (fd) => native.programInfo(fd).mapIds) ?? []);
  const found = native.listMaps().find(({ id, name }) => name === spec.name && used.includes(id));
  if (found === undefined || !fits(found, spec, sizes)) return false;
  const fd = native.openMap(found.id);
  try {
    object.reuseMap(spec.name, fd);
    return true;
  } finally {
    native.closeFd(fd);
  }
}

const fits = (info: MapInfo, spec: AnyMapSpec, sizes: MapSizes): boolean =>
  info.type === mapTypes[spec.type] &&
  info.keySize === spec.keyBytes &&
  info.valueSize === spec.valueBytes &&
  info.maxEntries === spec.entries(sizes);

/** Two numbers, in every version: programs of an earlier one must be able to answer until they are replaced. */
const isUnversioned = (spec: AnyMapSpec): boolean => spec.name === mapSpecs.cookies.name;

/** Sizes can agree where meanings do not, so whoever made the maps left the version of the meaning in `config`. */
function hasOurMeaning({ native, pins }: LoadDeps): boolean {
  const { name, key, value } = mapSpecs.config;
  const bytes = pins.with('maps', name, (fd) => native.mapLookup(fd, new Uint8Array(key.sizeBytes)));
  return bytes?.length === value.sizeBytes && decode(value, bytes).abi === abiVersion;
}

function load(object: BpfObject, objectPath: string): void {
  try {
    object.load();
  } catch (thrown) {
    const error = toMeshError(thrown, 'BPF_LOAD', `loading ${objectPath}`);
    throw new MeshError(error.code, error.message, {
      cause: thrown,
      hint: error.hint ?? 'run `mesh-ebpf doctor` to see what this kernel lacks',
      details: { verifierLog: object.verifierLog().slice(-2000) },
    });
  }
}

/** The pinned program if it equals the one just loaded, else that one. */
function choose(
  native: NativeBinding,
  pins: Pins,
  object: BpfObject,
  name: string,
): { readonly program: LoadedProgram; readonly isNew: boolean } {
  const loadedFd = object.programFd(name);
  const loaded = native.programInfo(loadedFd);
  const pinnedFd = pins.open('progs', name);
  if (pinnedFd !== undefined) {
    const pinned = native.programInfo(pinnedFd);
    if (isSameProgram(pinned, loaded)) {
      native.closeFd(loadedFd);
      return { program: { id: pinned.id, fd: pinnedFd }, isNew: false };
    }
    native.closeFd(pinnedFd);
  }
  return { program: { id: loaded.id, fd: loadedFd }, isNew: true };
}

const isSameProgram = (a: ProgramInfo, b: ProgramInfo): boolean => a.tag === b.tag && mapsOf(a) === mapsOf(b);

const mapsOf = ({ mapIds }: ProgramInfo): string => mapIds.toSorted((a, b) => a - b).join();
