/**
 * Takes the kernel side away and proves it: detaches every link, unpins everything, then asks the kernel whether
 * anything of it is left. Works from the pins alone; refuses while a node program is in charge of them.
 */
import { existsSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import type { Fd, LinkInfo, MapInfo, NativeBinding, ProgramInfo } from '../native/binding.ts';
import { allHooks, cgroupHooks, podOfLink } from './hooks.ts';
import { allMapSpecs, mapTypes } from './maps.ts';
import { type PinKind, pinKinds, Pins } from './pins.ts';

/** A piece of an installation, to be removed or still there. */
export interface Leftover {
  readonly kind: 'pin' | 'link' | 'program' | 'map';
  /** Path of a pin; the kernel's id and name of everything else. */
  readonly name: string;
}

/** The kernel frees programs and maps a moment after their last reference is gone. */
const patienceMs = 3000;
const stepMs = 50;

/**
 * Outbound capture ends first, so that nothing is sent to a ztunnel that is not there; then pods' inbound.
 * @returns how many pins there were: 0 means that nothing was installed
 * @throws MeshError ALREADY_EXISTS while a node program runs
 */
export function uninstallDatapath(native: NativeBinding, pinRoot: string): number {
  if (!existsSync(pinRoot)) return 0;
  const pins = new Pins(native, pinRoot);
  pins.lock();
  try {
    const count = pinKinds.reduce((sum, kind) => sum + pins.list(kind).length, 0);
    const podLinks = pins.list('links').filter((link) => podOfLink(link) !== undefined);
    const capturing = cgroupHooks.map((hook) => hook.program).toReversed();
    for (const name of [...capturing, ...podLinks]) detach(native, pins, name);
    pins.removeAll();
    return count;
  } finally {
    pins.unlock();
  }
}

/**
 * What is still there: pins under `pinRoot`, and programs, links and maps in the kernel, whoever holds them. Of the
 * latter those in `of` if given; otherwise all that look like ours, those of another node on the same machine too. Waits a
 * moment for the kernel to free things.
 */
export async function findLeftovers(
  native: NativeBinding,
  pinRoot: string,
  of?: readonly Leftover[],
): Promise<Leftover[]> {
  const wanted = of && new Set(of.map(({ name }) => name));
  for (let waitedMs = 0; ; waitedMs += stepMs) {
    const objects = kernelObjects(native).filter(({ name }) => wanted?.has(name) ?? true);
    const found = [...pinPaths(native, pinRoot), ...objects];
    if (found.length === 0 || waitedMs >= patienceMs) return found;
    await pause(stepMs);
  }
}

function pinPaths(native: NativeBinding, pinRoot: string): Leftover[] {
  if (!existsSync(pinRoot)) return [];
  return [pinRoot, ...new Pins(native, pinRoot).paths()].map((name) => ({ kind: 'pin', name }));
}

/** What is installed: taken before uninstalling, it tells `findLeftovers` what to look for. */
export function installedObjects(native: NativeBinding, pinRoot: string): Leftover[] {
  const pins = new Pins(native, pinRoot);
  const all = <T>(kind: PinKind, read: (fd: Fd) => T): T[] =>
    pins.list(kind).flatMap((name) => pins.with(kind, name, read) ?? []);
  return [
    ...all('links', (fd) => linkEntry(native.linkInfo(fd))),
    ...all('progs', (fd) => programEntry(native.programInfo(fd))),
    ...all('maps', (fd) => mapEntry(native.mapInfo(fd))),
  ];
}

function kernelObjects(native: NativeBinding): Leftover[] {
  const programs = native.listPrograms().filter(isOurProgram);
  const ids = new Set(programs.map(({ id }) => id));
  return [
    ...native
      .listLinks()
      .filter(({ programId }) => ids.has(programId))
      .map(linkEntry),
    ...programs.map(programEntry),
    ...native.listMaps().filter(isOurMap).map(mapEntry),
  ];
}

const linkEntry = ({ id }: LinkInfo): Leftover => ({ kind: 'link', name: `link ${id}` });
const programEntry = ({ id, name }: ProgramInfo): Leftover => ({ kind: 'program', name: `${name} (${id})` });
const mapEntry = ({ id, name }: MapInfo): Leftover => ({ kind: 'map', name: `${name} (${id})` });

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

function detach(native: NativeBinding, pins: Pins, name: string): void {
  pins.with('links', name, (fd) => {
    // The kernel detaches a link itself when its target goes away, and refuses to do it again.
    if (native.linkInfo(fd).targetId !== 0n) native.linkDetach(fd);
  });
}
