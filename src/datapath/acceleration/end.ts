/**
 * Ends what is accelerated, for `uninstall`. A socket that is taken out of the map loses what was handed to it and not read
 * yet, and nobody would notice but the application, much later; so both ends are told instead, by a reset. Works from the
 * pins alone, like all of uninstalling.
 */
import { readdir, stat } from 'node:fs/promises';
import type { IpAddress } from '../../base/ip.ts';
import type { DoomedConnection, Fd, NativeBinding } from '../../native/binding.ts';
import type { FlowKey } from '../abi/layout.ts';
import { endsOf } from '../kernel-path/kernel-path.ts';
import { MapTable } from '../map-table.ts';
import { mapSpecs, type MapSpec } from '../maps.ts';
import { Pins } from '../pins.ts';

/** How many there were. Those of namespaces that no process is in any more have ended by themselves. */
export async function endAccelerated(native: NativeBinding, pinRoot: string): Promise<number> {
  const pins = new Pins(native, pinRoot);
  const accelerated = new Set(entriesOf(native, pins, mapSpecs.accelerated).map(([cookie]) => cookie));
  if (accelerated.size === 0) return 0;
  const doomed = entriesOf(native, pins, mapSpecs.flows)
    .filter(([, { socketCookie }]) => accelerated.has(socketCookie))
    .map(([key]) => key);
  const inodes = namespacesByAddress(native, pins);
  const paths = await namespacePaths();
  for (const [ip, ends] of bothEnds(doomed)) {
    const path = paths.get(inodes.get(ip) ?? 0n);
    if (path !== undefined) await native.destroySockets(path, ends);
  }
  return doomed.length;
}

/** Each end in its own pod, which an address stands for. */
function bothEnds(keys: readonly FlowKey[]): Map<IpAddress, DoomedConnection[]> {
  const ends = keys.flatMap((key) => {
    const { source, destination } = endsOf(key);
    return [
      { local: source, remote: destination, cookie: null },
      { local: destination, remote: source, cookie: null },
    ];
  });
  return Map.groupBy(ends, ({ local }) => local.ip);
}

function namespacesByAddress(native: NativeBinding, pins: Pins): Map<IpAddress, bigint> {
  const pods = new Map(entriesOf(native, pins, mapSpecs.pods).map(([, pod]) => [pod.id, pod.netnsInode]));
  return new Map(entriesOf(native, pins, mapSpecs.localPods).map(([ip, id]) => [ip, pods.get(id) ?? 0n]));
}

/** One for each namespace that a process is in, by inode. */
async function namespacePaths(): Promise<Map<bigint, string>> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const found = await Promise.all(
    pids.map(async (pid) => {
      const path = `/proc/${pid}/ns/net`;
      const inode = await stat(path, { bigint: true }).then(
        ({ ino }) => ino,
        () => undefined,
      );
      return inode === undefined ? [] : [[inode, path] as const];
    }),
  );
  return new Map(found.flat());
}

/** None, where it is missing or was made by a version that kept something else there. */
function entriesOf<K, V>(native: NativeBinding, pins: Pins, spec: MapSpec<K, V>): [K, V][] {
  const read = (fd: Fd): [K, V][] => {
    const { keySize, valueSize } = native.mapInfo(fd);
    const isOurs = keySize === spec.key.sizeBytes && valueSize === spec.value.sizeBytes;
    return isOurs ? new MapTable(native, fd, spec).entries() : [];
  };
  return pins.with('maps', spec.name, read) ?? [];
}
