/**
 * Which service accounts have a pod on which node. `PodIndex` answers from a watch, at once and for most requests;
 * `LivePods` asks the API server, for a pod so new that the watch has not shown it, or where nothing is watched.
 */
import type { Clock } from '../../base/clock.ts';
import { MeshError } from '../../base/errors.ts';
import type { KubeClient } from '../../kube/client/kube-client.ts';
import { listObjects, readObject } from '../../kube/client/kube-objects.ts';
import { resources } from '../../kube/client/resources.ts';
import type { NodeName } from '../../model/mesh.ts';
import { type RateLimit, RateLimiter } from '../rate-limiter.ts';
import { placedPod } from './placed-pod.ts';
import type { PodIndex } from './pod-index.ts';

export interface ServiceAccount {
  readonly namespace: string;
  readonly serviceAccount: string;
}

export interface PodPlace {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string | undefined;
}

export interface PodsByNode {
  /** Whether a pod of this service account that is not finished is on the node. @throws MeshError UNAVAILABLE */
  runs(node: NodeName, account: ServiceAccount): Promise<boolean>;
  /** The node of this very pod. @throws MeshError UNAVAILABLE */
  nodeOf(pod: PodPlace): Promise<NodeName | undefined>;
}

export class LivePods implements PodsByNode {
  readonly #client: KubeClient;

  constructor(client: KubeClient) {
    this.#client = client;
  }

  async runs(node: NodeName, { namespace, serviceAccount }: ServiceAccount): Promise<boolean> {
    const found = await listObjects(this.#client, resources.pods, {
      namespace,
      fieldSelector: `spec.nodeName=${node},spec.serviceAccountName=${serviceAccount}`,
    });
    return found.map(placedPod).some((pod) => pod?.counts === true && pod.node === node);
  }

  async nodeOf({ namespace, name, uid }: PodPlace): Promise<NodeName | undefined> {
    const pod = placedPod(await readObject(this.#client, resources.pods, { namespace, name }));
    return uid === undefined || pod?.uid === uid ? pod?.node : undefined;
  }
}

/** Look-ups for each node: new pods come in tens, and a node that asks for strangers' pods shall not cost much. */
const lookUpLimit: RateLimit = { perSecond: 2, burst: 200 };

/** What the watch knows counts at once; only what it does not know is asked for. */
export class WatchedPods implements PodsByNode {
  readonly #index: Pick<PodIndex, 'runs'>;
  readonly #live: PodsByNode;
  readonly #lookUps: RateLimiter;

  constructor(index: Pick<PodIndex, 'runs'>, live: PodsByNode, clock: Clock) {
    this.#index = index;
    this.#live = live;
    this.#lookUps = new RateLimiter(lookUpLimit, clock);
  }

  /** @throws MeshError OVERLOADED when the node asked for too much that the watch does not know */
  async runs(node: NodeName, account: ServiceAccount): Promise<boolean> {
    if (this.#index.runs(node, account)) return true;
    if (this.#lookUps.take(node)) return await this.#live.runs(node, account);
    throw new MeshError(
      'OVERLOADED',
      `node ${node} asks for too many identities that are not known to be on it`,
    );
  }

  async nodeOf(pod: PodPlace): Promise<NodeName | undefined> {
    return await this.#live.nodeOf(pod);
  }
}
