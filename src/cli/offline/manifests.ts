/** Manifest files as commands are given them: single files, and directories, of which every manifest is read. */
import { MeshError } from '../../base/errors.ts';
import { isManifestName } from '../../kube/manifest-files.ts';
import type { ManifestFile } from '../../kube/parse-manifests.ts';
import type { CliEnv } from '../env.ts';

/** @throws MeshError NOT_FOUND, PERMISSION; NOT_FOUND for a directory without a manifest */
export async function readManifestFiles(
  { files }: Pick<CliEnv, 'files'>,
  paths: readonly string[],
): Promise<readonly ManifestFile[]> {
  const found: ManifestFile[] = [];
  const read = new Set<string>();
  for (const given of paths) {
    for (const path of await manifestsAt(files, given.replace(/(?<=.)\/+$/, ''))) {
      if (read.has(path)) continue;
      read.add(path);
      found.push({ path, text: await files.readText(path) });
    }
  }
  return found;
}

async function manifestsAt(files: CliEnv['files'], path: string): Promise<readonly string[]> {
  const names = await files.list(path);
  if (names.length === 0) return [path];
  const manifests = names.filter(isManifestName).map((name) => `${path}/${name}`);
  if (manifests.length > 0) return manifests;
  throw new MeshError('NOT_FOUND', `${path} has no manifest: no file that ends in .yaml, .yml or .json`);
}
