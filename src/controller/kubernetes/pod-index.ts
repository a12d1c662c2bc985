/**
 * The pods of the whole cluster by node and service account, as a watch tells of them: about 200 bytes a pod, and one
 * look-up an answer.
 */
import type { NodeName } from '../../model/mesh.ts';
import type { PlacedPod } from './placed-pod.ts';
import type { ServiceAccount } from './pods-by-node.ts';

export class PodIndex {
  readonly #pods = new Map<string, PlacedPod>();
  /** How many pods that count, by service account, by node. */
  readonly #counts = new Map<NodeName, Map<string, number>>();

  get size(): number {
    return this.#pods.size;
  }

  runs(node: NodeName, account: ServiceAccount): boolean {
    return this.#counts.get(node)?.has(keyOf(account)) === true;
  }

  /** A pod as it is now. */
  put(pod: PlacedPod): void {
    this.delete(pod.uid);
    this.#pods.set(pod.uid, pod);
    if (pod.counts) this.#count(pod, 1);
  }

  delete(uid: string): void {
    const pod = this.#pods.get(uid);
    if (pod === undefined) return;
    this.#pods.delete(uid);
    if (pod.counts) this.#count(pod, -1);
  }

  /** After a new list: these are all. */
  replace(pods: Iterable<PlacedPod>): void {
    this.#pods.clear();
    this.#counts.clear();
    for (const pod of pods) this.put(pod);
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
