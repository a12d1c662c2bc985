/**
 * Each pod's share of the `flows` map: how many connections on the kernel path it may have, so that none takes the room of
 * all others. The more there are, the fewer each may have, so that many pods do not, either. The programs count what they
 * write and remove, and refuse what is more; what this process removes is counted here. Should it die between the two, or
 * the maps be made anew, a walk over `flows` puts it right.
 */
import type { Logger } from '../../base/log.ts';
import { nodeShare, type Share } from '../abi/layout.ts';
import type { MapTable } from '../map-table.ts';
import type { MapSizes } from '../maps.ts';

type Table<V> = Pick<MapTable<number, V>, 'get' | 'set' | 'delete' | 'entries'>;

export interface FlowSharesDeps {
  readonly shares: Table<Share>;
  readonly settled: Table<number>;
  readonly limits: FlowLimits;
  readonly log: Logger;
}

/** How many connections one pod may have. */
export interface FlowLimits {
  /** If no other has many. */
  readonly share: number;
  /** Whatever others have. */
  readonly least: number;
  /** How much of `flows` is for all who come, the rest being kept for who has less than that. */
  readonly common: number;
}

/** A quarter of the map is kept for pods that have few, and one pod may have as much if nobody says otherwise. */
export function flowLimits(
  { flows, pods }: Pick<MapSizes, 'flows' | 'pods'>,
  share = Math.max(1, Math.floor(flows / 4)),
): FlowLimits {
  const least = Math.max(1, Math.floor(flows / 4 / pods));
  return { share, least, common: Math.max(1, flows - least * pods) };
}

export class FlowShares {
  readonly #deps: FlowSharesDeps;

  constructor(deps: FlowSharesDeps) {
    this.#deps = deps;
    this.add(nodeShare);
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
    for (const [podId] of this.#deps.shares.entries()) {
      if (podId !== nodeShare && !podIds.has(podId)) this.remove(podId);
    }
  }

  /** One of the pod's records was removed, and by nobody else. */
  settle(podId: number): void {
    const { settled } = this.#deps;
    for (const id of [nodeShare, podId]) {
      const before = settled.get(id);
      if (before !== undefined) settled.set(id, uint32(before + 1));
    }
  }

  /** How many connections each pod may have, as long as there are so many in all. What the programs go by. */
  shareWhile(used: ReadonlyMap<number, number>): number {
    const { share, least, common } = this.#deps.limits;
    const free = Math.max(0, common - Math.max(0, used.get(nodeShare) ?? 0));
    const now = share < common ? Math.ceil((share * free) / (common - share)) : free > 0 ? share : 0;
    return Math.min(share, Math.max(least, now));
  }

  /** How many records each pod has, and all together. */
  used(): ReadonlyMap<number, number> {
    const settled = new Map(this.#deps.settled.entries());
    return new Map(
      this.#deps.shares.entries().map(([podId, share]) => [podId, held(share, settled.get(podId))]),
    );
  }

  /**
   * Compares with what `flows` has, and puts right what cannot come from connections that came and went meanwhile.
   * @param walk how many records of the kernel path each pod has in `flows`, and how many that last there are
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
