/** Files that are there completely or not at all: written beside their place, then renamed into it. */
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { randomBytes } from 'node:crypto';

export interface WriteOptions {
  /** Permission bits; 0o644 unless told. */
  readonly mode?: number;
  /** Directory for the half-written file, on the same file system; the file's own unless told. */
  readonly staging?: string;
}

export async function writeFileAtomically(
  path: string,
  content: string,
  options: WriteOptions = {},
): Promise<void> {
  const directory = options.staging ?? dirname(path);
  await mkdir(directory, { recursive: true });
  const temporary = join(directory, `.${basename(path)}.${randomBytes(6).toString('hex')}`);
  await writeFile(temporary, content, { mode: options.mode ?? 0o644 });
  await rename(temporary, path);
}
