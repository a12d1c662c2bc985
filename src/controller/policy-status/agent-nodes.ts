/** The nodes on which the node program has a pod, as a source of placed pods tells of them. */
import { isOfKind, type ObjectKey, objectKey } from '../../kube/objects.ts';
import type { ObjectChange, ObjectSink } from '../../kube/source.ts';
import type { NodeName } from '../../model/mesh.ts';
import type { ServiceAccount } from '../kubernetes/pods-by-node.ts';

export class AgentNodes implements ObjectSink {
  readonly #agent: ServiceAccount;
  readonly #changed: (gone: readonly NodeName[]) => void;
  readonly #pods = new Map<ObjectKey, NodeName>();
  #nodes: ReadonlySet<NodeName> = new Set();

  /** @param changed hears that there are other nodes now, and which are no longer among them */
  constructor(agent: ServiceAccount, changed: (gone: readonly NodeName[]) => void) {
    this.#agent = agent;
    this.#changed = changed;
  }

  get nodes(): ReadonlySet<NodeName> {
    return this.#nodes;
  }

  changed({ set, deleted }: ObjectChange): void {
    const deletions = deleted.map((key) => this.#pods.delete(key));
    const changes = set.map((sourced) => {
      const key = objectKey(sourced.object);
      const node = isOfKind(sourced, 'Pod') ? this.#nodeOf(sourced.object) : undefined;
      if (this.#pods.get(key) === node) return false;
      if (node === undefined) return this.#pods.delete(key);
      this.#pods.set(key, node);
      return true;
    });
    if ([...deletions, ...changes].includes(true)) this.#recount();
  }

  faulty(): void {}

  #nodeOf({ metadata, spec, status }: AgentPod): NodeName | undefined {
    const isAgent =
      metadata.namespace === this.#agent.namespace &&
      spec.serviceAccountName === this.#agent.serviceAccount &&
      status?.phase !== 'Succeeded' &&
      status?.phase !== 'Failed';
    return isAgent ? (spec.nodeName as NodeName | undefined) : undefined;
  }

  #recount(): void {
    const nodes = new Set(this.#pods.values());
    const gone = [...this.#nodes].filter((node) => !nodes.has(node));
    const isSame = gone.length === 0 && nodes.size === this.#nodes.size;
    this.#nodes = nodes;
    if (!isSame) this.#changed(gone);
  }
}

interface AgentPod {
  readonly metadata: { readonly namespace: string };
  readonly spec: { readonly serviceAccountName?: string; readonly nodeName?: string };
  readonly status?: { readonly phase?: string };
}
