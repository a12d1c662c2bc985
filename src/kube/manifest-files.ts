/** Reading manifest files from a directory: which names count, and reading without being held up by what is no file. */
import { constants } from 'node:fs';
import { open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { asMeshError } from '../base/errors.ts';
import { maxFileBytes } from './yaml-documents.ts';

/** Changes whenever a file's content does, as far as the file system can tell. */
export type FileStamp = string;

export type FileRead =
  | { readonly type: 'text'; readonly text: string; readonly stamp: FileStamp }
  /** As `known` says. */
  | { readonly type: 'unchanged' }
  | { readonly type: 'gone' }
  | { readonly type: 'unreadable'; readonly message: string };

/** Editors' temporary and backup files end differently (`web.yaml~`, `web.yaml.swp`) or begin with a dot or hash. */
export const isManifestName = (name: string): boolean => /^[^.#].*\.(ya?ml|json)$/.test(name);

/** Paths of the manifests in `directory`. */
export async function listManifests(directory: string): Promise<readonly string[]> {
  const names = await readdir(directory);
  return names.filter(isManifestName).map((name) => join(directory, name));
}

/** Reads `path` unless it still has the stamp `known`. */
export async function readManifest(path: string, known: FileStamp | undefined): Promise<FileRead> {
  try {
    // Without O_NONBLOCK, opening a named pipe would wait for a writer.
    await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const stat = await file.stat({ bigint: true });
    if (!stat.isFile()) return { type: 'gone' };
    const stamp = `${stat.dev}:${stat.ino}:${stat.size}:${stat.mtimeNs}:${stat.ctimeNs}`;
    if (stamp === known) return { type: 'unchanged' };
    if (stat.size > maxFileBytes) {
      return {
        type: 'unreadable',
        message: `the file has ${stat.size} bytes: at most ${maxFileBytes} are read`,
      };
    }
    const bytes = await file.readFile();
    return { type: 'text', text: new TextDecoder('utf-8', { fatal: true }).decode(bytes), stamp };
  } catch (error) {
    return failedRead(error);
  }
}

function failedRead(error: unknown): FileRead {
  const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;
  // Removed between listing and reading.
  if (code === 'ENOENT') return { type: 'gone' };
  if (code === 'ERR_ENCODING_INVALID_ENCODED_DATA') return unreadable('the file is not UTF-8');
  return unreadable(asMeshError(error, 'UNAVAILABLE', 'the file cannot be read').message);
}

const unreadable = (message: string): FileRead => ({ type: 'unreadable', message });
