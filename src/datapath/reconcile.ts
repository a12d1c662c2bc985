/**
 * Brings the `destinations` map to its wanted contents. Deletions go first, to make room. A full map must not make a
 * meshed destination look unmeshed, so before anything is left out the programs are told that absence means nothing
 * (`captureUnknown`); they go back to normal once everything fits again.
 */
import { MeshError } from '../base/errors.ts';
import type { IpAddress } from '../base/ip.ts';
import type { Logger } from '../base/log.ts';
import type { MeshDiff, MeshView } from '../model/view.ts';
import type { Destination } from './abi/layout.ts';
import { changedDestinations, desiredDestinations, destinationAt, type KernelPathScope } from './desired.ts';
import type { MapTable } from './map-table.ts';

export interface ReconcileResult {
  readonly written: number;
  readonly deleted: number;
  /** The map holds the whole mesh. If not, enrolled pods' connections to anywhere go through ztunnel. */
  readonly complete: boolean;
}

export interface ReconcilerDeps {
  readonly destinations: Pick<MapTable<IpAddress, Destination>, 'entries' | 'setAll' | 'deleteAll'>;
  /** The map's size. */
  readonly capacity: number;
  /** Undefined: no pods take it. */
  readonly kernelPath?: KernelPathScope | undefined;
  /** Tells the programs whether absence from the map means anything. */
  setCaptureUnknown(on: boolean): void;
  readonly log: Logger;
}

export class DestinationReconciler {
  readonly #deps: ReconcilerDeps;
  /** What the map holds; undefined while it is incomplete. */
  #applied: MeshView | undefined;
  #entries = 0;

  constructor(deps: ReconcilerDeps) {
    this.#deps = deps;
  }

  /**
   * With `diff`: writes what it touches, without reading the map. Without: reads the whole map and repairs whatever
   * differs, which is right at start, and now and then. While the map is incomplete every call does that.
   */
  apply(view: MeshView, diff?: MeshDiff): ReconcileResult {
    const before = this.#applied;
    return diff === undefined || before === undefined ? this.#repair(view) : this.#follow(view, diff, before);
  }

  /** How many there are in the map, known without asking the kernel. */
  get entries(): number {
    return this.#entries;
  }

  #follow(view: MeshView, diff: MeshDiff, before: MeshView): ReconcileResult {
    const { wanted, unwanted } = changedDestinations(view, diff, this.#deps.kernelPath);
    const had = [...wanted.keys(), ...unwanted].filter((ip) => destinationAt(before, ip) !== undefined);
    const result = this.#write([...wanted], unwanted);
    this.#note(view, result, this.#entries - had.length + wanted.size);
    return result;
  }

  #note(view: MeshView, { complete }: ReconcileResult, entries: number): void {
    this.#applied = complete ? view : undefined;
    this.#entries = complete ? entries : this.#deps.capacity;
  }

  #repair(view: MeshView): ReconcileResult {
    const wanted = desiredDestinations(view, this.#deps.kernelPath);
    const found = new Map(this.#deps.destinations.entries());
    const missing = [...wanted].filter(([ip, entry]) => !isSame(found.get(ip), entry));
    const extra = [...found.keys()].filter((ip) => !wanted.has(ip));
    if (wanted.size > this.#deps.capacity) this.#deps.setCaptureUnknown(true);
    const result = this.#write(missing, extra);
    if (result.complete) this.#deps.setCaptureUnknown(false);
    this.#note(view, result, wanted.size);
    return result;
  }

  /** Whatever stops it, the programs are told before anyone else. */
  #write(entries: [IpAddress, Destination][], extra: IpAddress[]): ReconcileResult {
    try {
      this.#deps.destinations.deleteAll(extra);
      this.#deps.destinations.setAll(entries);
      return { written: entries.length, deleted: extra.length, complete: true };
    } catch (thrown) {
      this.#applied = undefined;
      this.#deps.setCaptureUnknown(true);
      if (!(thrown instanceof MeshError && thrown.code === 'BPF_MAP_FULL')) throw thrown;
      this.#deps.log.error(
        { code: thrown.code, map: 'destinations', capacity: this.#deps.capacity },
        'the destinations map is too small for the mesh: everything enrolled pods dial goes through ztunnel',
      );
      return { written: 0, deleted: extra.length, complete: false };
    }
  }
}

const isSame = (found: Destination | undefined, wanted: Destination): boolean =>
  found?.label === wanted.label &&
  found.flags.workload === wanted.flags.workload &&
  found.flags.service === wanted.flags.service &&
  found.flags.kernel === wanted.flags.kernel &&
  found.flags.accelerate === wanted.flags.accelerate;
