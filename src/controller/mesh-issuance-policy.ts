/**
 * The rule that keeps a stolen node from being everybody: a node gets certificates only for the identities of meshed
 * pods scheduled to it; a workload's own token gives that workload's identity only.
 */
import type { SpiffeId } from '../model/identity.ts';
import type { NodeName } from '../model/mesh.ts';
import type { MeshReader, MeshView } from '../model/view.ts';
import {
  type Caller,
  type IssuancePolicy,
  type IssuanceVerdict,
  refused,
  workloadVerdict,
} from './caller.ts';

type Placement = ReadonlyMap<NodeName, ReadonlySet<SpiffeId>>;

export class MeshIssuancePolicy implements IssuancePolicy {
  readonly #mesh: Pick<MeshReader, 'view'>;
  #placement: { readonly view: MeshView; readonly byNode: Placement } | undefined;

  constructor(mesh: Pick<MeshReader, 'view'>) {
    this.#mesh = mesh;
  }

  async decide(caller: Caller, identity: SpiffeId): Promise<IssuanceVerdict> {
    switch (caller.type) {
      case 'workload':
        return workloadVerdict(caller, identity);
      case 'node':
        return this.#byNode().get(caller.node)?.has(identity) === true
          ? { allowed: true }
          : refused(`no meshed pod with the identity ${identity} is on node ${caller.node}`);
    }
  }

  #byNode(): Placement {
    const { view } = this.#mesh;
    if (this.#placement?.view !== view) this.#placement = { view, byNode: placementOf(view) };
    return this.#placement.byNode;
  }
}

function placementOf(view: MeshView): Placement {
  const byNode = new Map<NodeName, Set<SpiffeId>>();
  for (const { node, identity, protocol, hostNetwork } of view.workloads.values()) {
    if (protocol !== 'hbone' || hostNetwork) continue;
    const identities = byNode.get(node) ?? new Set();
    byNode.set(node, identities.add(identity));
  }
  return byNode;
}
