/** Where objects come from: a directory of manifests now, an API server later. The rest of the node sees only this. */
import type { SourcedObject } from './objects.ts';
import type { Problem } from './problem.ts';

export interface ObjectSource {
  /**
   * Reads everything once, reports it, and resolves; from then on reports changes until `stop`. Both callbacks get
   * the whole picture each time: all objects in force, all problems there are (none, once they are mended). An
   * object that did not change is the same object in the next report.
   * @throws MeshError if nothing can be read at all.
   */
  start(
    onObjects: (objects: readonly SourcedObject[]) => void,
    onErrors: (errors: readonly Problem[]) => void,
  ): Promise<void>;
  /** Nothing is reported after it returns. */
  stop(): void;
}
