/**
 * The lab's API server: a directory with one YAML file an object, which the node program watches too. Readers see
 * whole objects, as files are renamed into place; writers take turns through a lock (`lock.ts`).
 */
import { readdirSync, readFileSync, statSync, watch } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { stringify } from 'yaml';
import type { KubeObject } from '../../kube/objects.ts';
import { objectKey } from '../../kube/objects.ts';
import { parseManifest } from '../../kube/parse-manifests.ts';
import type { LabLayout } from '../layout.ts';
import { objectFileName } from '../plan/objects.ts';
import type { Changes, Objects } from '../plan/objects.ts';
import { writeFileAtomically } from './atomic-file.ts';
import { withLock } from './lock.ts';

interface CachedFile {
  /** Changes whenever the file does: files are replaced, never written to. */
  readonly stamp: string;
  readonly objects: readonly KubeObject[];
}

/** A kept reader: only files that changed since the last read are parsed again. */
export class ObjectStore {
  readonly #layout: LabLayout;
  #cache: ReadonlyMap<string, CachedFile> = new Map();

  constructor(layout: LabLayout) {
    this.#layout = layout;
  }

  /** What the directory holds now. A file that cannot be understood is left out: `lab apply` writes none. */
  read(): Objects {
    const names = readdirSync(this.#layout.objects).filter((name) => name.endsWith('.yaml'));
    const files = names.flatMap((name) => {
      const file = this.#load(name);
      return file === undefined ? [] : [[name, file] as const];
    });
    this.#cache = new Map(files);
    const objects = files.flatMap(([, file]) => file.objects);
    return new Map(objects.map((object) => [objectKey(object), object]));
  }

  #load(name: string): CachedFile | undefined {
    const path = join(this.#layout.objects, name);
    const stat = statSync(path, { bigint: true, throwIfNoEntry: false });
    if (stat === undefined) return undefined;
    const stamp = `${stat.ino}.${stat.mtimeNs}`;
    const cached = this.#cache.get(name);
    return cached?.stamp === stamp ? cached : { stamp, objects: parseFile(path) };
  }

  /** Runs `change` on the newest state while nobody else writes, then writes and removes what it returns. */
  async update(change: (objects: Objects) => Changes): Promise<void> {
    await withLock(this.#layout.lock, async () => {
      const { write, remove } = change(this.read());
      for (const object of write) await this.#write(object);
      for (const object of remove) await rm(this.#path(object), { force: true });
    });
  }

  #write(object: KubeObject): Promise<void> {
    const text = stringify(object, { aliasDuplicateObjects: false });
    return writeFileAtomically(this.#path(object), text, { staging: this.#layout.staging });
  }

  #path(object: KubeObject): string {
    return join(this.#layout.objects, objectFileName(object));
  }

  /** Calls back soon after changes, by whomever; many changes may make one call. */
  watch(onChange: () => void): () => void {
    const watcher = watch(this.#layout.objects, onChange);
    return () => watcher.close();
  }
}

function parseFile(path: string): readonly KubeObject[] {
  try {
    const text = readFileSync(path, 'utf8');
    return parseManifest({ path, text }, { strict: false }).objects.map(({ object }) => object);
  } catch {
    // Removed between listing and reading.
    return [];
  }
}
