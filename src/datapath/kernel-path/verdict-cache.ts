/**
 * The `verdicts` map: a cache of what the policy engine allowed. An entry counts only with the generation that the
 * `config` map has, so one write there takes back everything at once. Whoever decides reads the generation together
 * with the mesh he decides on, and his answer carries it: one that comes late is worth nothing.
 */
import { asMeshError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import type { KernelVerdict, VerdictKey } from '../abi/layout.ts';
import type { MapTable } from '../map-table.ts';

export interface VerdictCacheDeps {
  readonly verdicts: Pick<MapTable<VerdictKey, KernelVerdict>, 'set' | 'entries' | 'deleteAll'>;
  readonly config: {
    readonly verdictGeneration: bigint;
    /** In force when it returns. @throws MeshError BPF_MAP */
    nextVerdictGeneration(): void;
  };
  readonly log: Logger;
}

export class VerdictCache {
  readonly #deps: VerdictCacheDeps;
  /** The kernel may still go by an older generation than ours. */
  #isBehind = false;
  #isClosed = false;

  constructor(deps: VerdictCacheDeps) {
    this.#deps = deps;
  }

  get generation(): bigint {
    return this.#deps.config.verdictGeneration;
  }

  /** From when this returns, nothing counts that was allowed before. */
  invalidate(): void {
    try {
      this.#deps.config.nextVerdictGeneration();
      this.#isBehind = false;
    } catch (thrown) {
      this.#isBehind = true;
      this.#deps.log.error({ err: asMeshError(thrown) }, 'verdicts could not be taken back all at once');
      this.#tryToClear();
    }
  }

  /** What failed before. */
  catchUp(): void {
    if (this.#isBehind) this.invalidate();
  }

  /** One by one. What fails here too is tried again with the next change, and every minute. */
  #tryToClear(): void {
    try {
      this.clear();
    } catch (thrown) {
      this.#deps.log.error({ err: asMeshError(thrown) }, 'verdicts could not be removed either');
    }
  }

  clear(): void {
    const { verdicts } = this.#deps;
    verdicts.deleteAll(verdicts.entries().map(([key]) => key));
  }

  /** @param generation as it was when the decision was made */
  allow(key: VerdictKey, generation: bigint): void {
    if (this.#isClosed || generation !== this.generation) return;
    try {
      this.#deps.verdicts.set(key, { generation });
    } catch (thrown) {
      this.#deps.log.debug({ err: asMeshError(thrown) }, 'a verdict was not kept: it is asked again');
    }
  }

  /** Keeps nothing from now on: the map's descriptor is about to be closed. */
  close(): void {
    this.#isClosed = true;
  }
}
