/**
 * Writes what a source reports to disk, soon and not at once: a few seconds of changes are one record. When the
 * records have grown past the state they change, the file is made anew. A disk that fails costs the snapshot and
 * nothing else.
 */
import type { Clock } from '../../base/clock.ts';
import { asMeshError, type MeshError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { type KubeObject, type ObjectKey, objectKey } from '../objects.ts';
import type { ObjectChange } from '../source.ts';
import type { SnapshotRecord } from './format.ts';
import type { SnapshotFile } from './snapshot-file.ts';

/** A crash loses this much, and the disk is written to this often at most. */
const writeEveryMs = 5_000;
/** After a failure. */
const retryMs = 60_000;
const objectsPerRecord = 256;
/** Below this many changed objects a new file is not worth it. */
const minChangesToRenew = 2_000;

export interface SnapshotKeeperDeps {
  readonly file: SnapshotFile;
  readonly clock: Clock;
  readonly log: Logger;
  /** The source's name, kept in the file. */
  readonly source: string;
  /** When the source was last heard: how old the objects are, whenever they are written. */
  readonly knownAt: () => number;
}

export interface SnapshotFailure {
  readonly error: MeshError;
  readonly since: number;
}

export class SnapshotKeeper {
  readonly #deps: SnapshotKeeperDeps;
  readonly #objects = new Map<ObjectKey, KubeObject>();
  /** Keys that differ from the file. */
  #unwritten = new Set<ObjectKey>();
  /** Objects in records that only change earlier ones. */
  #changesInFile = 0;
  /** Whether the file can be added to: false before it was made, and after a failure. */
  #isFileGood = false;
  #cancel: (() => void) | undefined;
  #work: Promise<void> = Promise.resolve();
  #failure: SnapshotFailure | undefined;
  #closing: Promise<void> | undefined;

  constructor(deps: SnapshotKeeperDeps) {
    this.#deps = deps;
  }

  get failure(): SnapshotFailure | undefined {
    return this.#failure;
  }

  record({ set, deleted }: ObjectChange): void {
    if (this.#closing !== undefined) return;
    for (const key of deleted) this.#note(key, undefined);
    for (const { object } of set) this.#note(objectKey(object), object);
    if (this.#unwritten.size > 0) this.#schedule(writeEveryMs);
  }

  /** Writes what is left to write, and nothing after that. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#cancel?.();
    this.#cancel = undefined;
    if (this.#unwritten.size > 0) this.#enqueueWrite();
    await this.#work;
    await this.#deps.file.close();
  }

  #note(key: ObjectKey, object: KubeObject | undefined): void {
    if (object === undefined) this.#objects.delete(key);
    else this.#objects.set(key, object);
    this.#unwritten.add(key);
  }

  #schedule(delayMs: number): void {
    this.#cancel ??= this.#deps.clock.after(delayMs, () => {
      this.#cancel = undefined;
      this.#enqueueWrite();
    });
  }

  #enqueueWrite(): void {
    this.#work = this.#work.then(() => this.#write());
  }

  async #write(): Promise<void> {
    const changes = this.#unwritten;
    this.#unwritten = new Set();
    const limit = Math.max(minChangesToRenew, this.#objects.size);
    try {
      if (this.#isFileGood && this.#changesInFile + changes.size <= limit) await this.#append(changes);
      else await this.#renew();
      this.#succeeded();
    } catch (error) {
      this.#failed(asMeshError(error, 'SNAPSHOT'));
      for (const key of changes) this.#unwritten.add(key);
      this.#schedule(retryMs);
    }
  }

  async #append(changes: ReadonlySet<ObjectKey>): Promise<void> {
    const set = [...changes].map((key) => this.#objects.get(key)).filter((object) => object !== undefined);
    const deleted = [...changes].filter((key) => !this.#objects.has(key));
    await this.#deps.file.append({ at: this.#deps.knownAt(), set, deleted });
    this.#changesInFile += changes.size;
  }

  async #renew(): Promise<void> {
    const { file, knownAt, source } = this.#deps;
    const at = knownAt();
    const objects = [...this.#objects.values()];
    await file.replace({ source, objects: objects.length, at }, recordsOf(objects, at));
    this.#isFileGood = true;
    this.#changesInFile = 0;
  }

  #succeeded(): void {
    if (this.#failure !== undefined) this.#deps.log.info({}, 'the snapshot is written again');
    this.#failure = undefined;
  }

  #failed(error: MeshError): void {
    const { log, clock } = this.#deps;
    this.#isFileGood = false;
    if (this.#failure?.error.message !== error.message) log.warn({ code: error.code }, error.message);
    this.#failure = { error, since: this.#failure?.since ?? clock.now() };
  }
}

/** Made while they are written: the text of all objects at once would be as large as all of them. */
function* recordsOf(objects: readonly KubeObject[], at: number): Generator<SnapshotRecord> {
  for (let i = 0; i < objects.length; i += objectsPerRecord) {
    yield { at, set: objects.slice(i, i + objectsPerRecord), deleted: [] };
  }
}
