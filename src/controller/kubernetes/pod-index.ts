/**
 * The pods of the whole cluster by node and service account, as a source of objects tells of them: about 200 bytes a
 * pod, and one look-up an answer.
 */
import { type ObjectKey, objectKey } from '../../kube/objects.ts';
import type { ObjectChange, ObjectSink } from '../../kube/source.ts';
import type { NodeName } from '../../model/mesh.ts';
import { type PlacedPod, placedPod } from './placed-pod.ts';
import type { ServiceAccount } from './pods-by-node.ts';

export class PodIndex implements ObjectSink {
  readonly #pods = new Map<ObjectKey, PlacedPod>();
  /** How many pods that count, by service account, by node. */
  readonly #counts = new Map<NodeName, Map<string, number>>();

  get size(): number {
    return this.#pods.size;
  }

  runs(node: NodeName, account: ServiceAccount): boolean {
    return this.#counts.get(node)?.has(keyOf(account)) === true;
  }

  changed({ set, deleted }: ObjectChange): void {
    for (const key of deleted) this.delete(key);
    for (const { object } of set) {
      const pod = placedPod(object);
      if (pod === undefined) this.delete(objectKey(object));
      else this.put(objectKey(object), pod);
    }
  }

  /** Pods that cannot be read have no identity: whoever asks for it is told. */
  faulty(): void {}

  /** A pod as it is now. */
  put(key: ObjectKey, pod: PlacedPod): void {
    this.delete(key);
    this.#pods.set(key, pod);
    if (pod.counts) this.#count(pod, 1);
  }

  delete(key: ObjectKey): void {
    const pod = this.#pods.get(key);
    if (pod === undefined) return;
    this.#pods.delete(key);
    if (pod.counts) this.#count(pod, -1);
  }

  #count(pod: PlacedPod, change: 1 | -1): void {
    const accounts = this.#counts.get(pod.node) ?? new Map<string, number>();
    const key = keyOf(pod);
    const count = (accounts.get(key) ?? 0) + change;
    if (count > 0) accounts.set(key, count);
    else accounts.delete(key);
    if (accounts.size > 0) this.#counts.set(pod.node, accounts);
    else this.#counts.delete(pod.node);
  }
}

const keyOf = ({ namespace, serviceAccount }: ServiceAccount): string => `${namespace}/${serviceAccount}`;
