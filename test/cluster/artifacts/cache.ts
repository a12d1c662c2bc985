/**
 * Where what was built is kept: outside the source tree, by a key over everything it is made of, so that every checkout
 * finds it again and a change of a version builds anew.
 */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { versions } from '../versions.ts';

export const componentsDir = join(import.meta.dirname, '..', 'components');

export interface Cache {
  /** What Go downloads and compiles. */
  readonly go: string;
  /** Everything that was built, a directory a key. */
  readonly builds: string;
}

export function cacheAt(directory: string): Cache {
  return { go: join(directory, 'go'), builds: join(directory, 'builds') };
}

/** The system's cache for root, and whatever the caller says with `MESH_EBPF_CACHE`. */
export const defaultCache = (env: NodeJS.ProcessEnv = process.env): Cache =>
  cacheAt(join(env['MESH_EBPF_CACHE'] ?? '/var/cache/mesh-ebpf', 'cluster'));

/** Changes with every source, every pinned version, and the version of Go. */
export function cacheKey(goVersion: string): string {
  const hash = createHash('sha256');
  for (const name of readdirSync(componentsDir).toSorted()) {
    hash
      .update(`${name}\0`)
      .update(readFileSync(join(componentsDir, name)))
      .update('\0');
  }
  return hash
    .update(JSON.stringify([goVersion, versions]))
    .digest('hex')
    .slice(0, 16);
}

/** Version of Kubernetes, `v1.36.3`, from the one place that pins it. */
export function kubernetesVersion(
  goMod: string = readFileSync(join(componentsDir, 'go.mod'), 'utf8'),
): string {
  const version = /^\s*k8s\.io\/kubernetes (v[\d.]+)$/m.exec(goMod)?.[1];
  if (version === undefined) throw new Error('components/go.mod names no version of k8s.io/kubernetes');
  return version;
}

/** Least version of Go that the components build with, `1.26.0`. */
export function neededGo(goMod: string = readFileSync(join(componentsDir, 'go.mod'), 'utf8')): string {
  const version = /^go ([\d.]+)$/m.exec(goMod)?.[1];
  if (version === undefined) throw new Error('components/go.mod names no version of Go');
  return version;
}
