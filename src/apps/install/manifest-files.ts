/** The manifests of `daemonset/`: inside the bundle, or beside the sources. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { MeshError } from '../../base/errors.ts';

/** Text by path below `daemonset/`, such as `base/node.yaml`. */
export type ManifestFiles = Readonly<Record<string, string>>;

/** Put here by `tools/bundle.ts`; nothing where the sources run as they are. */
declare const EMBEDDED_MANIFESTS: ManifestFiles | undefined;

const besideSources = fileURLToPath(new URL('../../../daemonset', import.meta.url));

/** @throws MeshError NOT_FOUND when neither is there */
export function manifestFiles(): ManifestFiles {
  if (typeof EMBEDDED_MANIFESTS !== 'undefined') return EMBEDDED_MANIFESTS;
  if (existsSync(besideSources)) return readManifests(besideSources);
  throw new MeshError('NOT_FOUND', `the manifests are neither in this program nor in ${besideSources}`);
}

export const readManifests = (directory: string): ManifestFiles =>
  Object.fromEntries(
    readdirSync(directory, { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith('.yaml'))
      .map((path) => join(directory, path))
      .toSorted()
      .map((path) => [relative(directory, path), readFileSync(path, 'utf8')]),
  );
