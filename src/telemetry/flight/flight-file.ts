/** The flight record on disk: read as a whole, added to, rewritten as a whole. Knows nothing of what is in it. */
import { constants } from 'node:fs';
import { type FileHandle, mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { asMeshError, MeshError } from '../../base/errors.ts';

/** One that is larger was not written by us. */
const maxFileBytes = 64 * 1024 * 1024;
const chunkBytes = 256 * 1024;

export class FlightFile {
  readonly #path: string;
  #file: FileHandle | undefined;
  #size = 0;

  constructor(path: string) {
    this.#path = path;
  }

  /** Bytes, as far as they were written here. */
  get size(): number {
    return this.#size;
  }

  /**
   * Hands over its lines, the last one though its end may be missing. None if there is no file.
   * @throws MeshError SNAPSHOT for what is no file of root's, or too large to be ours
   */
  async read(take: (line: string) => void): Promise<void> {
    let file: FileHandle;
    try {
      // What lies there may be anything; a named pipe would hold us up, a link would lead elsewhere.
      file = await open(this.#path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
      throw fileError(this.#path, 'cannot be read', error);
    }
    try {
      const stat = await file.stat();
      if (!stat.isFile() || stat.size > maxFileBytes) throw new Error('it is no flight record');
      await readLines(file, take);
    } catch (error) {
      throw fileError(this.#path, 'cannot be read', error);
    } finally {
      await file.close();
    }
  }

  /** Replaces it in one step. Pieces are made while they are written. @throws MeshError SNAPSHOT */
  async rewrite(pieces: Iterable<string>): Promise<void> {
    const staged = `${this.#path}.new`;
    let file: FileHandle | undefined;
    let size = 0;
    try {
      await mkdir(dirname(this.#path), { recursive: true, mode: 0o700 });
      await rm(staged, { force: true });
      // Nobody but root: it says who talks to whom.
      file = await open(
        staged,
        constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_EXCL,
        0o600,
      );
      for (const piece of pieces) {
        await file.appendFile(piece);
        size += Buffer.byteLength(piece);
      }
      await rename(staged, this.#path);
    } catch (error) {
      await file?.close();
      throw fileError(this.#path, 'cannot be written', error);
    }
    await this.close();
    this.#file = file;
    this.#size = size;
  }

  /** @throws MeshError SNAPSHOT; it has then to be rewritten */
  async append(text: string): Promise<void> {
    try {
      if (this.#file === undefined) throw new Error('it was not opened');
      await this.#file.appendFile(text);
      this.#size += Buffer.byteLength(text);
    } catch (error) {
      throw fileError(this.#path, 'cannot be written', error);
    }
  }

  async close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.close();
  }
}

const fileError = (path: string, what: string, cause: unknown): MeshError =>
  new MeshError('SNAPSHOT', `${path} ${what}: ${asMeshError(cause).message}`, { cause });

async function readLines(file: FileHandle, take: (line: string) => void): Promise<void> {
  const chunk = Buffer.allocUnsafe(chunkBytes);
  let rest = '';
  const decoder = new TextDecoder();
  for (;;) {
    const { bytesRead } = await file.read(chunk, 0, chunkBytes);
    if (bytesRead === 0) break;
    const lines = (rest + decoder.decode(chunk.subarray(0, bytesRead), { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    // Whatever that is, it is no line; and the rest of it will be found to be none.
    if (rest.length > maxHeldChars) rest = '';
    lines.forEach(take);
  }
  if (rest !== '') take(rest);
}

const maxHeldChars = 1024 * 1024;
