/**
 * Takes the kernel side away and proves it: detaches every link, unpins everything, then asks the kernel whether
 * anything of it is left. Works from the pins alone; refuses while a node program is in charge of them.
 */
import { existsSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import type { Fd, NativeBinding } from '../native/binding.ts';
import { cgroupHooks, messageHook, podOfLink } from './hooks.ts';
import { mapSpecs } from './maps.ts';
import {
  cgroupOf,
  type KernelObjects,
  type Leftover,
  linkEntry,
  mapEntry,
  othersNamespaces,
  type Owned,
  ownedObjects,
  programEntry,
  unclaimedObjects,
} from './ownership.ts';
import { type PinKind, pinKinds, Pins } from './pins.ts';

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
    endAcceleration(native, pins);
    pins.removeAll();
    return count;
  } finally {
    pins.unlock();
  }
}

/**
 * What is still there: pins under these roots, and the owner's programs, links and maps in the kernel, whoever holds
 * them. Waits a moment for the kernel to free things.
 */
export async function findLeftovers(
  native: NativeBinding,
  pinRoots: readonly string[],
  owned: Owned,
): Promise<readonly Leftover[]> {
  for (let waitedMs = 0; ; waitedMs += stepMs) {
    const pins = pinRoots.flatMap((root) => pinPaths(native, root));
    const found = [...pins, ...ownedObjects(kernelObjects(native), owned)];
    if (found.length === 0 || waitedMs >= patienceMs) return found;
    await pause(stepMs);
  }
}

/** What looks like the mesh's, and nobody that can be seen has it. */
export const findUnclaimed = (native: NativeBinding, owned: Owned): readonly Leftover[] =>
  unclaimedObjects(kernelObjects(native), owned);

/** Network namespaces that other installations with this kernel capture, by inode. */
export const findOthersNamespaces = (native: NativeBinding, owned: Owned): ReadonlySet<bigint> =>
  othersNamespaces(kernelObjects(native), owned);

function pinPaths(native: NativeBinding, pinRoot: string): readonly Leftover[] {
  if (!existsSync(pinRoot)) return [];
  return [pinRoot, ...new Pins(native, pinRoot).paths()].map((name) => ({ kind: 'pin', name }));
}

/** What is pinned under one root. */
export function installedObjects(native: NativeBinding, pinRoot: string): readonly Leftover[] {
  const { links, programs, maps } = pinnedObjects(native, pinRoot);
  return [...links.map(linkEntry), ...programs.map(programEntry), ...maps.map(mapEntry)];
}

/**
 * What to look for after uninstalling: taken before.
 * @param machine the cgroup of a machine that is to be clean altogether: what is attached there counts, pinned or not
 */
export function ownedBy(native: NativeBinding, pinRoots: readonly string[], machine?: bigint): Owned {
  const pinned = pinRoots.map((root) => pinnedObjects(native, root));
  const attached = pinned.flatMap(({ links }) => links.flatMap((link) => cgroupOf(link) ?? []));
  return {
    objects: new Set(pinRoots.flatMap((root) => installedObjects(native, root)).map(({ name }) => name)),
    cgroups: new Set([...attached, ...(machine === undefined ? [] : [machine])]),
  };
}

function pinnedObjects(native: NativeBinding, pinRoot: string): KernelObjects {
  const pins = new Pins(native, pinRoot);
  const all = <T>(kind: PinKind, read: (fd: Fd) => T): T[] =>
    pins.list(kind).flatMap((name) => pins.with(kind, name, read) ?? []);
  return {
    links: all('links', (fd) => native.linkInfo(fd)),
    programs: all('progs', (fd) => native.programInfo(fd)),
    maps: all('maps', (fd) => native.mapInfo(fd)),
  };
}

const kernelObjects = (native: NativeBinding): KernelObjects => ({
  links: native.listLinks(),
  programs: native.listPrograms(),
  maps: native.listMaps(),
});

/**
 * A socket in the map would keep it, the program and what that uses, for as long as the connection lasts. Connections whose
 * ends have something to lose were ended before (`acceleration/end.ts`).
 */
function endAcceleration(native: NativeBinding, pins: Pins): void {
  pins.with('maps', mapSpecs.ends.name, (ends) => {
    pins.with('progs', messageHook.program, (program) =>
      native.detachFromMap(program, ends, messageHook.attachType),
    );
    const { keys, count } = native.mapDump(ends);
    if (count > 0) native.mapDeleteBatch(ends, keys, count);
  });
}

function detach(native: NativeBinding, pins: Pins, name: string): void {
  pins.with('links', name, (fd) => {
    // The kernel detaches a link itself when its target goes away, and refuses to do it again.
    if (native.linkInfo(fd).targetId !== 0n) native.linkDetach(fd);
  });
}
