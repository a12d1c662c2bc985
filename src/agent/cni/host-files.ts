/** The node's CNI directories: read, and written so that nobody ever sees half a file. */
import { randomBytes } from 'node:crypto';
import { chmod, chown, open, readdir, readFile, realpath, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type ConfFile, isConfName } from './conf-files.ts';

/** None when there is no such directory. A file that vanishes meanwhile is left out. */
export async function readConfFiles(directory: string): Promise<readonly ConfFile[]> {
  const names = await readdir(directory).catch(ifAbsent([]));
  const files = names.filter(isConfName).map(async (name) => {
    const text = await readFile(join(directory, name), 'utf8').catch(ifAbsent(undefined));
    return text === undefined ? [] : [{ name, text }];
  });
  return (await Promise.all(files)).flat();
}

const ifAbsent =
  <T>(value: T) =>
  (error: unknown): T => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return value;
    throw error;
  };

export interface ReplaceOptions {
  /** Permission bits of a new file; one that is there keeps its mode and owner. */
  readonly mode: number;
  /** Asked last: false leaves the file as it is. */
  readonly stillWanted?: () => Promise<boolean>;
}

/** A link is followed: what it points to is replaced. */
export async function replaceFile(
  path: string,
  content: string | Uint8Array,
  { mode, stillWanted = () => Promise.resolve(true) }: ReplaceOptions,
): Promise<void> {
  const target = await realpath(path).catch(ifAbsent(path));
  const before = await stat(target).catch(ifAbsent(undefined));
  // No runtime reads a name that ends like this.
  const temporary = join(dirname(target), `.mesh-ebpf-${randomBytes(6).toString('hex')}.tmp`);
  try {
    await writeDurably(temporary, content);
    await chmod(temporary, before === undefined ? mode : before.mode & 0o7777);
    if (before !== undefined) await chown(temporary, before.uid, before.gid);
    if (await stillWanted()) await rename(temporary, target);
  } finally {
    await rm(temporary, { force: true });
  }
}

async function writeDurably(path: string, content: string | Uint8Array): Promise<void> {
  const file = await open(path, 'wx', 0o600);
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
}
