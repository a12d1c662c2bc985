/**
 * Decides about each sandbox the container runtime makes: a pod that belongs into the mesh is in it when the answer
 * goes out, one that does not is let go, and one of which nobody can tell is refused, for the runtime to try again.
 */
import type { Clock } from '../../base/clock.ts';
import { MeshError } from '../../base/errors.ts';
import type { IpAddress } from '../../base/ip.ts';
import type { Logger } from '../../base/log.ts';
import type { NodeName, Workload, WorkloadUid } from '../../model/mesh.ts';
import type { PendingWorkload, PodLookup } from '../../model/pod-lookup.ts';
import type { MeshView } from '../../model/view.ts';
import type { Enrolment } from '../enrolment.ts';
import type { PodNamespaces } from '../pod-namespaces.ts';
import type { PodReference } from './protocol.ts';

export interface Sandbox {
  readonly pod: PodReference;
  readonly containerId: string;
  /** Path at which this process can open the sandbox's network namespace, for as long as the plugin waits. */
  readonly netns: string;
  readonly addresses: readonly IpAddress[];
}

export interface AdmissionDeps {
  readonly mesh: {
    readonly view: MeshView;
    announce(workload: Workload): void;
    withdraw(uid: WorkloadUid): void;
  };
  readonly lookup: PodLookup;
  readonly namespaces: Pick<PodNamespaces, 'claim' | 'release' | 'claims' | 'isRunning'>;
  readonly enrolment: Pick<Enrolment, 'enrolNow' | 'stateOf'>;
  readonly clock: Clock;
  readonly log: Logger;
}

export type Admitted = 'enrolled' | 'outside';

/** How long a pod is waited for that the kubelet knows already; then the runtime has to try again. */
const lookupTimeoutMs = 3_000;
/** A sandbox of which no process was ever seen by then was given up without a word. */
const abandonedAfterMs = 600_000;

export class CniAdmission {
  readonly #deps: AdmissionDeps;
  readonly #node: NodeName;

  constructor(deps: AdmissionDeps, node: NodeName) {
    this.#deps = deps;
    this.#node = node;
  }

  /** @throws MeshError when the pod belongs into the mesh, or may do so, and is not in it */
  async add(sandbox: Sandbox): Promise<Admitted> {
    const { mesh, namespaces, enrolment, log } = this.#deps;
    const { pod, containerId, netns, addresses } = sandbox;
    const workload = await this.#identify(pod);
    if (!belongs(workload)) return 'outside';
    const { uid } = workload;
    const addressed = { ...workload, addresses };
    await namespaces.claim(addressed, containerId, netns);
    mesh.announce(addressed);
    try {
      await enrolment.enrolNow(uid);
    } catch (error) {
      this.remove(containerId);
      throw error;
    }
    log.debug(
      { pod: uid, namespace: pod.namespace, name: pod.name },
      'pod enrolled before its first process',
    );
    return 'enrolled';
  }

  /** @throws MeshError NETNS when the pod should be in the mesh and is not */
  async check({ pod }: Pick<Sandbox, 'pod'>): Promise<Admitted> {
    const workload = await this.#identify(pod);
    if (!belongs(workload)) return 'outside';
    const state = this.#deps.enrolment.stateOf(workload.uid);
    if (state?.state === 'enrolled' && state.proof?.error === undefined) return 'enrolled';
    throw new MeshError('NETNS', `pod ${pod.namespace}/${pod.name} belongs into the mesh and is not in it`, {
      hint: 'mesh-ebpf workloads says why',
    });
  }

  /** The sandbox is gone. The pod may live on in another one. */
  remove(containerId: string): void {
    const uid = this.#deps.namespaces.release(containerId);
    if (uid !== undefined) this.#deps.mesh.withdraw(uid);
  }

  /** Only these sandboxes exist; of every other the end was missed. */
  retain(containerIds: ReadonlySet<string>): void {
    for (const { containerId } of this.#deps.namespaces.claims()) {
      if (!containerIds.has(containerId)) this.remove(containerId);
    }
  }

  /** Sandboxes whose end nobody told. To be called now and then. */
  async removeAbandoned(): Promise<void> {
    const { namespaces, mesh, clock } = this.#deps;
    for (const { uid, containerId, since } of namespaces.claims()) {
      const isOld = clock.now() - since > abandonedAfterMs;
      const nodeUid = mesh.view.workloads.get(uid)?.nodeUid ?? uid;
      if (!mesh.view.workloads.has(uid) || (isOld && !(await namespaces.isRunning(nodeUid)))) {
        this.remove(containerId);
      }
    }
  }

  async #identify(pod: PodReference): Promise<PendingWorkload> {
    const known = this.#deps.mesh.view.workloads.get((pod.uid ?? '') as WorkloadUid);
    const workload = known ?? (await this.#lookUp(pod));
    if (workload.node === this.#node) return workload;
    throw new MeshError(
      'UNAVAILABLE',
      `pod ${pod.namespace}/${pod.name} is on node ${workload.node} as far as is known, not on ${this.#node}`,
      { hint: 'is --node-name the name of this node?' },
    );
  }

  async #lookUp({ namespace, name, uid }: PodReference): Promise<PendingWorkload> {
    const found = await this.#deps.lookup.findPod(namespace, name, AbortSignal.timeout(lookupTimeoutMs));
    const sameUid = uid === undefined || found?.uid === uid || found?.nodeUid === uid;
    // A manifest somebody wrote has no UID: there, the name is the identity.
    if (found !== undefined && (sameUid || found.uid === `${namespace}/${name}`)) return found;
    throw new MeshError(
      'UNAVAILABLE',
      found === undefined
        ? `pod ${namespace}/${name} is not known (yet)`
        : `pod ${namespace}/${name} is known with UID ${found.uid} only, not ${uid}`,
      {
        hint: 'whether it belongs into the mesh cannot be told, so it must not start; the runtime tries again',
      },
    );
  }
}

const belongs = ({ protocol, hostNetwork }: PendingWorkload): boolean => protocol === 'hbone' && !hostNetwork;
