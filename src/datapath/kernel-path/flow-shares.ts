/**
 * Each pod's share of the `flows` map: as many connections on the kernel path as one pod may have, so that none takes the
 * room of all others. The programs count what they write and remove, and refuse what is more; what this process removes is
 * counted here. Should it die between the two, or the maps be made anew, a walk over `flows` puts it right.
 */
import type { Logger } from '../../base/log.ts';
import type { Share } from '../abi/layout.ts';
import type { MapTable } from '../map-table.ts';

type Table<V> = Pick<MapTable<number, V>, 'get' | 'set' | 'delete' | 'entries'>;

export interface FlowSharesDeps {
  readonly shares: Table<Share>;
  readonly settled: Table<number>;
  readonly log: Logger;
}

/** What pods that open connections without end are kept from: the rest is for all others. */
export const defaultFlowShare = (flows: number): number => Math.max(1, Math.floor(flows / 4));

export class FlowShares {
  readonly #deps: FlowSharesDeps;

  constructor(deps: FlowSharesDeps) {
    this.#deps = deps;
  }

  /** Before the pod can be on the kernel path. What it has already stays counted. */
  add(podId: number): void {
    const { shares, settled } = this.#deps;
    if (shares.get(podId) !== undefined && settled.get(podId) !== undefined) return;
    settled.set(podId, 0);
    shares.set(podId, { published: 0, withdrawn: 0 });
  }

  /** When the pod has left: its last connections are nobody's. */
  remove(podId: number): void {
    this.#deps.shares.delete(podId);
    this.#deps.settled.delete(podId);
  }

  /** Removes those of pods that are gone. */
  keepOnly(podIds: ReadonlySet<number>): void {
    for (const [podId] of this.#deps.shares.entries()) if (!podIds.has(podId)) this.remove(podId);
  }

  /** One of the pod's records was removed, and by nobody else. */
  settle(podId: number): void {
    const { settled } = this.#deps;
    const before = settled.get(podId);
    if (before !== undefined) settled.set(podId, uint32(before + 1));
  }

  /** How many records each pod has. */
  used(): ReadonlyMap<number, number> {
    const settled = new Map(this.#deps.settled.entries());
    return new Map(
      this.#deps.shares.entries().map(([podId, share]) => [podId, held(share, settled.get(podId))]),
    );
  }

  /**
   * Compares with what `flows` has, and puts right what cannot come from connections that came and went meanwhile.
   * @param walk how many records of the kernel path each pod has in `flows`
   */
  recount(walk: () => ReadonlyMap<number, number>): void {
    const { shares, settled, log } = this.#deps;
    const before = new Map(shares.entries());
    const found = walk();
    for (const [podId, after] of shares.entries()) {
      const earlier = before.get(podId);
      const removed = settled.get(podId);
      if (earlier === undefined || removed === undefined) continue;
      const meanwhile =
        uint32(after.published - earlier.published) + uint32(after.withdrawn - earlier.withdrawn);
      const tooMany = held(after, removed) - (found.get(podId) ?? 0);
      if (Math.abs(tooMany) <= meanwhile) continue;
      settled.set(podId, uint32(removed + tooMany));
      log.warn({ podId, tooMany }, 'a pod’s connections on the kernel path were counted anew');
    }
  }
}

const uint32 = (value: number): number => value >>> 0;

/** Less than none: another count is late. */
const held = ({ published, withdrawn }: Share, settled = 0): number => (published - withdrawn - settled) | 0;
