/**
 * Reads the pinned maps for people: which there are, how full they are, and what is in them, in names. Works from
 * the pins alone, with or without a node program running. Called by the CLI.
 */
import { tryParseIp } from '../../base/ip.ts';
import { MeshError } from '../../base/errors.ts';
import type { NativeBinding } from '../../native/binding.ts';
import { bpfCall } from '../bpf-error.ts';
import { MapTable } from '../map-table.ts';
import { allMapSpecs, mapSpecs, type MapSpec } from '../maps.ts';
import { isNearlyFull } from '../occupancy.ts';
import { Pins } from '../pins.ts';
import { type Names, readers, type Row } from './rows.ts';

export interface MapSummary {
  readonly name: string;
  readonly purpose: string;
  readonly type: string;
  /** undefined: the kernel cannot count them, or the map is not there. */
  readonly entries: number | undefined;
  /** undefined: without limit, or the map is not there. */
  readonly capacity: number | undefined;
  /** What happens when it is full. */
  readonly whenFull: string;
  readonly pinned: boolean;
  readonly nearlyFull: boolean;
}

/** Every map there should be, in the catalogue's order. */
export function listMaps(native: NativeBinding, pinRoot: string): MapSummary[] {
  const pins = new Pins(native, pinRoot);
  return allMapSpecs.map(({ name, purpose, type, whenFull, sizedBy }) => {
    const found = pins.with('maps', name, (fd) => ({
      capacity: native.mapInfo(fd).maxEntries || undefined,
      entries: name in readers ? native.mapDump(fd).count : undefined,
    }));
    const { entries, capacity } = found ?? {};
    const nearlyFull =
      sizedBy !== null && isNearlyFull({ entries: entries ?? 0, capacity: capacity ?? Infinity });
    return { name, purpose, type, entries, capacity, whenFull, pinned: found !== undefined, nearlyFull };
  });
}

/**
 * The entries of one map as rows of named columns.
 * @throws MeshError NOT_FOUND if there is no such map, UNSUPPORTED if the kernel cannot list it
 */
export function dumpMap(native: NativeBinding, pinRoot: string, name: string): Row[] {
  assertKnown(name);
  const read = readers[name];
  if (read === undefined) {
    throw new MeshError('UNSUPPORTED', `the kernel cannot list what is in ${name}`, {
      hint: 'sockets, streams: they are part of each socket; denials, ended: mesh-ebpf connections shows what was read from them',
    });
  }
  const pins = new Pins(native, pinRoot);
  const names = readNames(native, pins);
  const rows = pins.with('maps', name, (fd) =>
    bpfCall('BPF_MAP', `reading map ${name}`, () => read(native, fd, names)),
  );
  if (rows !== undefined) return rows;
  throw new MeshError('NOT_FOUND', `${name} is not pinned under ${pinRoot}`, {
    hint: 'is the mesh installed on this node? `mesh-ebpf programs` shows what is attached',
  });
}

/** The rows in which some column is `text`: an address in any spelling, a name, an id. */
export function findRows(rows: readonly Row[], text: string): Row[] {
  const wanted = tryParseIp(text) ?? text;
  return rows.filter((row) => Object.values(row).some((cell) => String(cell) === wanted));
}

/** What addresses and pod ids are called, as the maps themselves say. */
function readNames(native: NativeBinding, pins: Pins): Names {
  const entries = entriesOf(native, pins, mapSpecs.pods).map(([, pod]) => pod);
  const pods = new Map(entries.map(({ id, label }) => [id, label]));
  const bySet = Map.groupBy(entries, ({ egressSet }) => egressSet);
  const local = new Map(entriesOf(native, pins, mapSpecs.localPods));
  const destinations = new Map(entriesOf(native, pins, mapSpecs.destinations));
  const pod = (id: number): string => pods.get(id) ?? '';
  return {
    pod,
    underSet: (set) =>
      bySet
        .get(set)
        ?.map(({ label }) => label)
        .join(', ') ?? '',
    verdictGeneration: entriesOf(native, pins, mapSpecs.config)[0]?.[1].verdictGeneration ?? 0n,
    address: (ip) => pod(local.get(ip) ?? 0) || (destinations.get(ip)?.label ?? ''),
  };
}

const entriesOf = <K, V>(native: NativeBinding, pins: Pins, spec: MapSpec<K, V>): [K, V][] =>
  pins.with('maps', spec.name, (fd) => new MapTable(native, fd, spec).entries()) ?? [];

function assertKnown(name: string): void {
  const known = allMapSpecs.map((spec) => spec.name);
  if (known.includes(name)) return;
  throw new MeshError('NOT_FOUND', `there is no map named "${name}"`, {
    hint: `one of: ${known.join(', ')}`,
  });
}
