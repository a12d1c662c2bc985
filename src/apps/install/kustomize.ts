/**
 * What kustomize makes of our own kustomization files, as a pure function: they have `resources` and nothing else, and
 * anything else is refused rather than ignored. A test keeps our files to it.
 */
import { posix } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { MeshError } from '../../base/errors.ts';
import type { KubeObject } from '../../kube/client/kube-objects.ts';
import { resourceOf } from '../../kube/client/resources.ts';
import type { ManifestFiles } from './manifest-files.ts';

/** An object with all its fields, as the file says it. */
export interface Manifest extends KubeObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly [field: string]: unknown;
}

const knownKeys = ['apiVersion', 'kind', 'resources'];

/** The objects of a directory with a kustomization.yaml, in order. @throws MeshError NOT_FOUND, INVALID_MANIFEST */
export function kustomize(files: ManifestFiles, directory: string): readonly Manifest[] {
  const path = posix.join(directory, 'kustomization.yaml');
  return resourcesOf(files, path).flatMap((resource) => {
    const target = posix.join(directory, resource);
    return target.endsWith('.yaml') ? manifestsIn(files, target) : kustomize(files, target);
  });
}

function resourcesOf(files: ManifestFiles, path: string): readonly string[] {
  const [content = {}] = documentsIn(files, path) as readonly Record<string, unknown>[];
  const unknown = Object.keys(content).filter((key) => !knownKeys.includes(key));
  if (unknown.length > 0)
    throw invalid(path, `${unknown.join(', ')} cannot be rendered here; use kubectl -k`);
  const { resources } = content;
  if (Array.isArray(resources) && resources.every((entry) => typeof entry === 'string')) return resources;
  throw invalid(path, 'it has no list of resources');
}

const manifestsIn = (files: ManifestFiles, path: string): readonly Manifest[] =>
  documentsIn(files, path).map((document) => {
    if (isManifest(document)) return document;
    throw invalid(path, 'a document in it is no Kubernetes object of the mesh');
  });

function isManifest(document: unknown): document is Manifest {
  if (typeof document !== 'object' || document === null) return false;
  const { apiVersion, kind, metadata } = document as Partial<Manifest>;
  if (typeof apiVersion !== 'string' || typeof kind !== 'string' || typeof metadata?.name !== 'string') {
    return false;
  }
  return resourceOf(apiVersion, kind).namespaced === (metadata.namespace !== undefined);
}

function documentsIn(files: ManifestFiles, path: string): readonly unknown[] {
  const text = files[path];
  if (text === undefined) throw new MeshError('NOT_FOUND', `there is no manifest ${path}`);
  return parseAllDocuments(text).map((document) => {
    const [error] = document.errors;
    if (error !== undefined) throw invalid(path, error.message);
    return document.toJS() as unknown;
  });
}

const invalid = (path: string, reason: string): MeshError =>
  new MeshError('INVALID_MANIFEST', `daemonset/${path}: ${reason}`);
