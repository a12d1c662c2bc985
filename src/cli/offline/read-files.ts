/** The texts of the files a person names: files, directories (their manifests, not below), or standard input as `-`. */
import { MeshError } from '../../base/errors.ts';
import { isManifestName } from '../../kube/manifest-files.ts';
import type { ManifestFile } from '../../kube/parse-manifests.ts';
import type { CliEnv } from '../env.ts';

/** @throws MeshError NOT_FOUND for a path that does not exist or a directory without manifests; PERMISSION */
export const readFiles = async (env: CliEnv, paths: readonly string[]): Promise<readonly ManifestFile[]> =>
  (await Promise.all(paths.map(async (path) => await readPath(env, path)))).flat();

async function readPath(env: CliEnv, path: string): Promise<readonly ManifestFile[]> {
  if (path === '-') return [{ path: 'stdin', text: await readInput(env) }];
  const names = await env.files.list(path);
  if (names.length === 0) return [{ path, text: await env.files.readText(path) }];
  const manifests = names.filter(isManifestName).map((name) => `${path.replace(/\/+$/, '')}/${name}`);
  if (manifests.length === 0) throw new MeshError('NOT_FOUND', `"${path}" holds no YAML file`);
  return await Promise.all(
    manifests.map(async (file) => ({ path: file, text: await env.files.readText(file) })),
  );
}

async function readInput(env: CliEnv): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of env.input()) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks).toString('utf8');
}
