/** Reads the manifests a person names: files, directories (their YAML files, not below), or standard input as `-`. */
import { readdir, readFile, stat } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { join } from 'node:path';
import { MeshError } from '../../base/errors.ts';
import type { ManifestFile } from '../../kube/parse-manifests.ts';

/** @throws MeshError NOT_FOUND for a path that does not exist or a directory without manifests. */
export async function readManifestFiles(paths: readonly string[]): Promise<readonly ManifestFile[]> {
  return (await Promise.all(paths.map(readPath))).flat();
}

async function readPath(path: string): Promise<readonly ManifestFile[]> {
  if (path === '-') return [{ path: 'stdin', text: await text(process.stdin) }];
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) throw new MeshError('NOT_FOUND', `there is no file or directory "${path}"`);
  const files = found.isDirectory() ? await manifestsIn(path) : [path];
  return Promise.all(files.map(async (file) => ({ path: file, text: await readFile(file, 'utf8') })));
}

async function manifestsIn(directory: string): Promise<readonly string[]> {
  const names = (await readdir(directory)).filter((name) => /\.(ya?ml|json)$/.test(name)).toSorted();
  if (names.length > 0) return names.map((name) => join(directory, name));
  throw new MeshError('NOT_FOUND', `"${directory}" holds no YAML file`);
}
