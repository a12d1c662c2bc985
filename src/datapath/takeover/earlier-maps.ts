/**
 * Maps of programs that are in force, or were a moment ago, and are not those of this installation: made by another version,
 * or with other sizes. They are found by the programs' links, and, after a crash in the midst, by their pins in `earlier/`.
 */
import type { Fd, NativeBinding, RingBuffer } from '../../native/binding.ts';
import { earlierLayout } from '../abi/earlier-layout.ts';
import { type Accelerated } from '../abi/acceleration-layout.ts';
import { type Config, type Ended, ended, type Flow, type FlowKey, type Pod } from '../abi/layout.ts';
import { type SessionEntry, type SessionKey } from '../abi/service-layout.ts';
import type { IpAddress } from '../../base/ip.ts';
import { connectHook, recordHook } from '../hooks.ts';
import { mapSpecs } from '../maps.ts';
import type { Pins } from '../pins.ts';
import { EarlierTable } from './earlier-table.ts';

/** What goes on being written until the last old program has run. */
const recorded = [mapSpecs.flows, mapSpecs.ended, mapSpecs.strays, mapSpecs.accelerated].map(
  ({ name }) => name,
);
/** What the agent tells connect. */
const told = [mapSpecs.config, mapSpecs.pods, mapSpecs.localPods, mapSpecs.sessions].map(({ name }) => name);

interface EarlierMap {
  readonly name: string;
  readonly id: number;
  readonly fd: Fd;
}

/** A ring of ended connections, with how its records read. */
export interface EndedRing {
  readonly ring: RingBuffer;
  readonly read: (record: Uint8Array) => Ended | undefined;
}

const needed = {
  key: ['source_ip', 'destination_ip', 'source_port', 'destination_port'],
  value: ['socket_cookie', 'origin.kind', 'origin.pod_id', 'origin.original_ip', 'origin.original_port'],
};

const neededOfEnded = ['socket_cookie', 'opened_at', 'ended_at', 'source_pod_id'].concat(
  needed.key.map((name) => `flow.${name}`),
);

export class EarlierMaps {
  readonly #native: NativeBinding;
  readonly #pins: Pins;
  readonly #maps: EarlierMap[];

  private constructor(native: NativeBinding, pins: Pins, maps: EarlierMap[]) {
    this.#native = native;
    this.#pins = pins;
    this.#maps = maps;
  }

  /** Undefined: there are none, as at every start but the first of a version. */
  static find(native: NativeBinding, pins: Pins, ours: ReadonlyMap<string, Fd>): EarlierMaps | undefined {
    const ownIds = new Set([...ours.values()].map((fd) => native.mapInfo(fd).id));
    // Those in force first: of what the agent told, theirs counts.
    const kept = pins.list('earlier').flatMap((name) => pins.open('earlier', name) ?? []);
    const used = [...mapsBehind(native, pins, recordHook.program, recorded)];
    used.push(...mapsBehind(native, pins, connectHook.program, told));
    const found = new Map<number, EarlierMap>();
    for (const fd of [...used, ...kept]) {
      const { id, name } = native.mapInfo(fd);
      if (ownIds.has(id) || found.has(id)) native.closeFd(fd);
      else found.set(id, { name, id, fd });
    }
    return found.size === 0 ? undefined : new EarlierMaps(native, pins, [...found.values()]);
  }

  config(): EarlierTable<number, Config> | undefined {
    const fields = { value: ['last_pod_id', 'verdict_generation', 'flags'] };
    return this.#tables('config', (fd) => EarlierTable.over(this.#native, fd, mapSpecs.config, fields))[0];
  }

  pods(): EarlierTable<bigint, Pod> | undefined {
    const fields = { value: ['id', 'uid', 'netns_inode'] };
    return this.#tables('pods', (fd) => EarlierTable.over(this.#native, fd, mapSpecs.pods, fields))[0];
  }

  localPods(): EarlierTable<IpAddress, number> | undefined {
    return this.#tables('local_pods', (fd) => EarlierTable.over(this.#native, fd, mapSpecs.localPods))[0];
  }

  sessions(): EarlierTable<SessionKey, SessionEntry> | undefined {
    const fields = {
      key: ['client', 'service.ip', 'service.port'],
      value: ['last_used', 'endpoint.ip', 'endpoint.port'],
    };
    return this.#tables('sessions', (fd) =>
      EarlierTable.over(this.#native, fd, mapSpecs.sessions, fields),
    )[0];
  }

  /** Undefined stands for one that cannot be read. */
  flows(): readonly (EarlierTable<FlowKey, Flow> | undefined)[] {
    return this.#tables('flows', (fd) => EarlierTable.over(this.#native, fd, mapSpecs.flows, needed));
  }

  /** Undefined stands for one that cannot be read. */
  accelerated(): readonly (EarlierTable<bigint, Accelerated> | undefined)[] {
    const fields = { value: ['bytes_sent', 'bytes_received'] };
    return this.#tables('accelerated', (fd) =>
      EarlierTable.over(this.#native, fd, mapSpecs.accelerated, fields),
    );
  }

  strays(): readonly EarlierTable<FlowKey, bigint>[] {
    return this.#tables('strays', (fd) => EarlierTable.over(this.#native, fd, mapSpecs.strays)).filter(
      (table) => table !== undefined,
    );
  }

  /** The caller's, to be closed. A ring does not say what is in it; the records of connections beside it do. */
  endedRings(): readonly EndedRing[] {
    const structs = this.#maps
      .filter(({ name }) => name === 'flows')
      .map(({ fd }) => this.#native.mapStructs(fd));
    return this.#maps
      .filter(({ name }) => name === 'ended')
      .map(({ fd }, i) => {
        const types = structs[i] ?? [];
        const sizeBytes = types.find(({ name }) => name === ended.name)?.sizeBytes ?? 0;
        const layout = earlierLayout(ended, types, sizeBytes, neededOfEnded);
        const read = (record: Uint8Array): Ended | undefined =>
          record.length === sizeBytes ? layout?.decode(record) : undefined;
        return { ring: this.#native.openRingBuffer(fd), read };
      });
  }

  /** Should this process end in the midst, the next one goes on with them. */
  keep(): void {
    for (const { name, id, fd } of this.#maps) {
      if (recorded.includes(name)) this.#pins.put('earlier', `${name}-${id}`, fd);
    }
  }

  /** All is taken over. */
  letGo(): void {
    for (const { name, id } of this.#maps) this.#pins.remove('earlier', `${name}-${id}`);
    this.close();
  }

  close(): void {
    for (const { fd } of this.#maps.splice(0)) this.#native.closeFd(fd);
  }

  #tables<T>(wanted: string, open: (fd: Fd) => T): T[] {
    return this.#maps.filter(({ name }) => name === wanted).map(({ fd }) => open(fd));
  }
}

/** Of the program that this link runs, by their names. */
function mapsBehind(native: NativeBinding, pins: Pins, link: string, names: readonly string[]): Fd[] {
  const programId = pins.with('links', link, (fd) => native.linkInfo(fd).programId);
  const program = native.listPrograms().find(({ id }) => id === programId);
  return (program?.mapIds ?? []).flatMap((id) => {
    const fd = native.openMap(id);
    if (names.includes(native.mapInfo(fd).name)) return fd;
    native.closeFd(fd);
    return [];
  });
}
