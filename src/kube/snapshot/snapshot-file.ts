/** The snapshot on disk: reading it as a whole, replacing it as a whole, adding to its end. Knows no objects' meaning. */
import { createReadStream } from 'node:fs';
import { chmod, type FileHandle, mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { MeshError } from '../../base/errors.ts';
import { LineSplitter } from '../line-splitter.ts';
import {
  headerLine,
  maxRecordBytes,
  type RawObject,
  recordLine,
  type SnapshotHeader,
  SnapshotReader,
  type SnapshotRecord,
} from './format.ts';

export interface ReadSnapshot {
  readonly objects: readonly RawObject[];
  readonly writtenAt: number;
}

/**
 * What the file holds; undefined if there is none. A record that was cut off at the end, as by a loss of power, is
 * left out.
 * @throws MeshError SNAPSHOT if it cannot be trusted: damaged, of another version or of another source
 */
export async function readSnapshot(path: string, source: string): Promise<ReadSnapshot | undefined> {
  const reader = new SnapshotReader(source);
  const lines = new LineSplitter(maxRecordBytes);
  try {
    for await (const chunk of createReadStream(path)) {
      for (const line of lines.push(chunk as Buffer)) reader.push(line);
    }
    reader.end();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw snapshotError(path, 'is ignored', error);
  }
  return { objects: reader.objects, writtenAt: reader.writtenAt };
}

const snapshotError = (path: string, what: string, cause: unknown): MeshError => {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new MeshError('SNAPSHOT', `${path} ${what}: ${reason}`, { cause });
};

/** The file being added to. Opened for nobody but root: it says who runs what where. */
export class SnapshotFile {
  readonly #path: string;
  #file: FileHandle | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  get path(): string {
    return this.#path;
  }

  /** Replaces the file in one step: whatever happens, there is the old one or the new. @throws MeshError SNAPSHOT */
  async replace(header: SnapshotHeader, records: Iterable<SnapshotRecord>): Promise<void> {
    const staged = `${this.#path}.new`;
    let file: FileHandle | undefined;
    try {
      await mkdir(dirname(this.#path), { recursive: true, mode: 0o700 });
      await rm(staged, { force: true });
      file = await open(staged, 'wx', 0o600);
      // The umask may have taken more away.
      await chmod(staged, 0o600);
      await file.appendFile(headerLine(header));
      for (const record of records) await file.appendFile(recordLine(record));
      await file.sync();
      await rename(staged, this.#path);
      await syncDirectory(dirname(this.#path));
    } catch (error) {
      await file?.close();
      throw snapshotError(this.#path, 'cannot be written', error);
    }
    await this.close();
    this.#file = file;
  }

  /** @throws MeshError SNAPSHOT; the file has then to be replaced before more is added */
  async append(record: SnapshotRecord): Promise<void> {
    try {
      if (this.#file === undefined) throw new Error('it was not opened');
      await this.#file.appendFile(recordLine(record));
      await this.#file.datasync();
    } catch (error) {
      throw snapshotError(this.#path, 'cannot be written', error);
    }
  }

  async close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.close();
  }
}

/** A rename is on the disk when its directory is. */
async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
