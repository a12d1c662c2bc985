/**
 * Up to which version of each kind of policy each node enforces what the API server has: three numbers a node, however
 * many policies there are.
 */
import type { PolicyKind } from '../../kube/api/feed.ts';
import type { NodeName } from '../../model/mesh.ts';

/** All nodes, as to one kind. */
export interface KindProgress {
  readonly total: number;
  /** Ascending. */
  readonly reported: readonly { readonly node: NodeName; readonly version: bigint }[];
  /** Have not reported: how many, and the first by name. */
  readonly silent: number;
  readonly firstSilent: NodeName | undefined;
}

export class NodeProgress {
  readonly #nodes: () => ReadonlySet<NodeName>;
  readonly #versions = new Map<NodeName, ReadonlyMap<PolicyKind, bigint>>();
  readonly #known = new Map<PolicyKind, KindProgress>();

  /** @param nodes those with a node program */
  constructor(nodes: () => ReadonlySet<NodeName>) {
    this.#nodes = nodes;
  }

  /** How many nodes have said anything. */
  get reporting(): number {
    return [...this.#nodes()].filter((node) => this.#versions.has(node)).length;
  }

  report(node: NodeName, versions: ReadonlyMap<PolicyKind, bigint>): void {
    this.#versions.set(node, new Map([...(this.#versions.get(node) ?? []), ...versions]));
    this.#known.clear();
  }

  /** The set of nodes is another one. What a node said that is gone is forgotten: its successor reports anew. */
  nodesChanged(gone: Iterable<NodeName>): void {
    for (const node of gone) this.#versions.delete(node);
    this.#known.clear();
  }

  of(kind: PolicyKind): KindProgress {
    const known = this.#known.get(kind);
    if (known !== undefined) return known;
    const progress = this.#compute(kind);
    this.#known.set(kind, progress);
    return progress;
  }

  #compute(kind: PolicyKind): KindProgress {
    const nodes = [...this.#nodes()];
    const versionOf = (node: NodeName): bigint | undefined => this.#versions.get(node)?.get(kind);
    const reported = nodes.flatMap((node) => {
      const version = versionOf(node);
      return version === undefined ? [] : [{ node, version }];
    });
    const silent = nodes.filter((node) => versionOf(node) === undefined);
    return {
      total: nodes.length,
      reported: reported.toSorted((a, b) => compare(a.version, b.version) || compare(a.node, b.node)),
      silent: silent.length,
      firstSilent: silent.toSorted()[0],
    };
  }
}

const compare = <T extends bigint | string>(a: T, b: T): number => (a < b ? -1 : a > b ? 1 : 0);

/** How many of ascending versions are below `version`. */
export function countBelow(reported: KindProgress['reported'], version: bigint): number {
  let [low, high] = [0, reported.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((reported[middle]?.version ?? version) < version) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** API servers count in whole numbers, wherever there is etcd behind; anything else cannot be compared. */
export const parseVersion = (text: string): bigint | undefined =>
  /^\d{1,19}$/.test(text) ? BigInt(text) : undefined;
