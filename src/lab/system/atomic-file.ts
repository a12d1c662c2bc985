/** Files that are there completely or not at all: written beside their place, then renamed into it. */
import { link, mkdir, rename, rm, writeFile } from 'node:fs/promises';
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
  await rename(await writeBeside(path, content, options), path);
}

/** The same for a file that must not be there yet. Of several callers at once, one gets true. */
export async function createFileAtomically(path: string, content: string): Promise<boolean> {
  const temporary = await writeBeside(path, content, {});
  try {
    await link(temporary, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  } finally {
    await rm(temporary, { force: true });
  }
}

async function writeBeside(path: string, content: string, options: WriteOptions): Promise<string> {
  const directory = options.staging ?? dirname(path);
  await mkdir(directory, { recursive: true });
  const temporary = join(directory, `.${basename(path)}.${randomBytes(6).toString('hex')}`);
  await writeFile(temporary, content, { mode: options.mode ?? 0o644 });
  return temporary;
}
