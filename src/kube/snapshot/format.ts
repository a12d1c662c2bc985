/**
 * The snapshot's file format: a header, then records, one a line, each with its checksum. The first records are the
 * state when the file was made, the later ones what changed since, so that a change costs what it is. Pure.
 *
 *     CHECKSUM {"format":"mesh-ebpf objects","version":1,"source":"kubernetes https://…","objects":2,"at":…}
 *     CHECKSUM {"at":…,"set":[{…},{…}]}
 *     CHECKSUM {"at":…,"set":[{…}],"deleted":["Pod/shop/web"]}
 */
import { crc32 } from 'node:zlib';
import { MeshError } from '../../base/errors.ts';
import { type KubeObject, isKind, type ObjectKey, objectKey } from '../objects.ts';

/** Counts up with every change that an older program would misread. */
const formatVersion = 1;
const formatName = 'mesh-ebpf objects';

/** A record holds some hundred objects; an object at most a megabyte or two. */
export const maxRecordBytes = 64 * 1024 * 1024;

export interface SnapshotHeader {
  readonly source: string;
  /** How many objects the first records bring. */
  readonly objects: number;
  readonly at: number;
}

export interface SnapshotRecord {
  readonly at: number;
  readonly set: readonly KubeObject[];
  readonly deleted: readonly ObjectKey[];
}

export type RawObject = Readonly<Record<string, unknown>>;

const line = (value: unknown): string => {
  const json = JSON.stringify(value);
  return `${crc32(json).toString(16).padStart(8, '0')} ${json}\n`;
};

export const headerLine = ({ source, objects, at }: SnapshotHeader): string =>
  line({ format: formatName, version: formatVersion, source, objects, at });

export const recordLine = ({ at, set, deleted }: SnapshotRecord): string =>
  line(deleted.length === 0 ? { at, set } : { at, set, deleted });

/** Reads lines one by one; knows the objects that they leave in force. */
export class SnapshotReader {
  readonly #source: string;
  readonly #objects = new Map<ObjectKey, RawObject>();
  #missing: number | undefined;
  #at = 0;

  /** `source` is the one whose objects are wanted: another cluster's are not. */
  constructor(source: string) {
    this.#source = source;
  }

  get objects(): readonly RawObject[] {
    return [...this.#objects.values()];
  }

  /** When the last record was written. */
  get writtenAt(): number {
    return this.#at;
  }

  /** @throws MeshError SNAPSHOT for anything but the next line of a snapshot of this version and source */
  push(text: string): void {
    const value = parseLine(text);
    if (this.#missing === undefined) this.#takeHeader(value);
    else this.#takeRecord(value, this.#missing);
  }

  /** @throws MeshError SNAPSHOT if not even the state that the file began with is there */
  end(): void {
    if (this.#missing !== 0) throw damaged('its end is missing');
  }

  #takeHeader({ format, version, source, objects, at }: RawObject): void {
    if (format !== formatName) throw damaged('it is no snapshot');
    if (version !== formatVersion) {
      throw new MeshError('SNAPSHOT', `its version is ${String(version)}, expected ${formatVersion}`);
    }
    if (source !== this.#source) throw new MeshError('SNAPSHOT', `it is of "${String(source)}"`);
    if (typeof objects !== 'number' || typeof at !== 'number') throw damaged('its header is incomplete');
    this.#missing = objects;
    this.#at = at;
  }

  #takeRecord({ at, set, deleted = [] }: RawObject, missing: number): void {
    if (typeof at !== 'number' || !Array.isArray(set) || !Array.isArray(deleted)) {
      throw damaged('a record is incomplete');
    }
    for (const object of set as readonly unknown[]) this.#objects.set(keyOf(object), object as RawObject);
    for (const key of deleted as readonly ObjectKey[]) this.#objects.delete(key);
    this.#missing = Math.max(0, missing - set.length);
    this.#at = at;
  }
}

const damaged = (how: string): MeshError => new MeshError('SNAPSHOT', `it is damaged: ${how}`);

function parseLine(text: string): RawObject {
  const json = text.slice(9);
  if (text[8] !== ' ' || Number.parseInt(text.slice(0, 8), 16) !== crc32(json)) {
    throw damaged('a checksum is wrong');
  }
  const value: unknown = JSON.parse(json);
  if (typeof value !== 'object' || value === null) throw damaged('a record is none');
  return value as RawObject;
}

function keyOf(object: unknown): ObjectKey {
  const { kind, metadata } = (object ?? {}) as { kind?: unknown; metadata?: { name?: unknown } };
  if (typeof kind !== 'string' || !isKind(kind) || typeof metadata?.name !== 'string') {
    throw damaged('an object has no name');
  }
  return objectKey(object as KubeObject);
}
