/**
 * The files of a directory as last read, each parsed once. A file with a problem keeps its last good objects; one
 * that was never good gives those of its objects that are. No IO: whoever reads the files hands their texts in.
 */
import { objectKey, type SourcedObject } from './objects.ts';
import { mergeManifests, parseManifest, type ParsedManifests } from './parse-manifests.ts';
import { fileProblem, type Problem } from './problem.ts';

interface CachedFile {
  /** undefined if the file could not be read. */
  readonly text: string | undefined;
  readonly errors: readonly Problem[];
  readonly objects: readonly SourcedObject[];
  /** `objects` are those of an earlier version, without problems. */
  readonly isStale: boolean;
}

export class ManifestCache {
  readonly #files = new Map<string, CachedFile>();

  get paths(): readonly string[] {
    return [...this.#files.keys()];
  }

  /** Takes a file's new text. Returns false if it is the text already known. */
  set(path: string, text: string): boolean {
    const known = this.#files.get(path);
    if (known?.text === text) return false;
    const { objects, errors } = parseManifest({ path, text }, { strict: true });
    this.#files.set(path, { text, ...lastGood(known, { objects, errors }) });
    return true;
  }

  /** Notes that a file is there and cannot be read. Returns false if that is known. */
  setUnreadable(path: string, message: string): boolean {
    const known = this.#files.get(path);
    if (known?.text === undefined && known?.errors[0]?.message === message) return false;
    const errors = [fileProblem(path, message)];
    this.#files.set(path, { text: undefined, ...lastGood(known, { objects: [], errors }) });
    return true;
  }

  /** Returns false if the file was not known. */
  delete(path: string): boolean {
    return this.#files.delete(path);
  }

  /** Everything in force, files in order of their paths. An object in a stale file gives way to one in a fresh file. */
  merged(): ParsedManifests {
    const files = [...this.#files].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, file]) => file);
    const fresh = mergeManifests(files.filter((file) => !file.isStale));
    const stale = mergeManifests(files.filter((file) => file.isStale));
    const taken = new Set(fresh.objects.map(({ object }) => objectKey(object)));
    const kept = stale.objects.filter(({ object }) => !taken.has(objectKey(object)));
    return { objects: [...fresh.objects, ...kept], errors: [...fresh.errors, ...stale.errors] };
  }
}

function lastGood(
  known: CachedFile | undefined,
  { objects, errors }: ParsedManifests,
): Omit<CachedFile, 'text'> {
  const wasGood = known !== undefined && (known.isStale || known.errors.length === 0);
  if (errors.length === 0 || !wasGood) return { objects, errors, isStale: false };
  return { objects: known.objects, errors, isStale: true };
}
