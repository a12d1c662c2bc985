/** Nodes → where they are, change by change. */
import type { MeshNode, NodeName } from '../../model/mesh.ts';
import type { Node, SourcedObject } from '../objects.ts';

/** Set by cloud providers and administrators (Kubernetes' well-known labels). */
const zoneLabel = 'topology.kubernetes.io/zone';

export class Nodes {
  readonly #changes = new Map<NodeName, MeshNode | undefined>();

  set({ object: { metadata } }: SourcedObject<Node>): void {
    const name = metadata.name as NodeName;
    this.#changes.set(name, { name, zone: metadata.labels?.[zoneLabel] });
  }

  delete(name: string): void {
    this.#changes.set(name as NodeName, undefined);
  }

  /** What changed since the last call. */
  takeChanges(): ReadonlyMap<NodeName, MeshNode | undefined> {
    const changes = new Map(this.#changes);
    this.#changes.clear();
    return changes;
  }
}
