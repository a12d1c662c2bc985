/** The file from which nodes learn the authority's roots, where they share a file system with the controller. */
import { randomUUID } from 'node:crypto';
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { asMeshError } from '../base/errors.ts';

/** Replaces the file, whole, unless it has this text already. @throws MeshError UNAVAILABLE */
export function publishTrustBundle(path: string, bundle: string): void {
  if (current(path) === bundle) return;
  const unfinished = `${path}.${randomUUID()}.tmp`;
  try {
    writeFileSync(unfinished, bundle, { mode: 0o644, flag: 'wx' });
    renameSync(unfinished, path);
  } catch (thrown) {
    throw asMeshError(thrown, 'UNAVAILABLE', `cannot publish the trust bundle ${path}`);
  } finally {
    rmSync(unfinished, { force: true });
  }
}

function current(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
