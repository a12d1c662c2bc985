/** Keeps logs bounded: the state directory is in memory on most hosts. Writers append, so a log can be cut under them. */
import { copyFile, readdir, stat, truncate } from 'node:fs/promises';
import { join } from 'node:path';

const maxBytes = 8 * 1024 * 1024;

/** What is longer than 8 MiB becomes `FILE.1`, replacing the one before. */
export async function rotateLog(path: string): Promise<void> {
  const size = await stat(path).then(
    (found) => found.size,
    () => 0,
  );
  if (size <= maxBytes) return;
  await copyFile(path, `${path}.1`);
  await truncate(path);
}

/** Every `*.log` of a directory. */
export async function rotateLogsIn(directory: string): Promise<void> {
  const names = await readdir(directory).catch(() => []);
  for (const name of names.filter((file) => file.endsWith('.log'))) await rotateLog(join(directory, name));
}
