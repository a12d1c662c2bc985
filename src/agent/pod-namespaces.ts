/**
 * Which network namespace is whose. Two witnesses: the CNI plugin, called before a pod's first process runs, and the
 * cgroup trees, which say for every pod that runs already where its processes are. Neither is believed: a namespace is
 * the pod's only if it has all of the pod's addresses.
 */
import { asMeshError, MeshError } from '../base/errors.ts';
import type { IpAddress } from '../base/ip.ts';
import type { Workload, WorkloadUid } from '../model/mesh.ts';
import { findPodCgroups, type PodCgroups, processesOf } from './pod-finder.ts';
import { missingAddresses, type NetnsCalls, openNetns, type PodNetns, sameNetns } from './pod-netns.ts';

/** What the CNI plugin said, in force until the sandbox ends or the pod gets another one. */
interface Claim {
  readonly containerId: string;
  readonly netns: PodNetns;
  readonly since: number;
}

export interface PodNamespacesDeps {
  readonly native: NetnsCalls;
  /** Cgroup directories under which this node's pods are: v2 first. */
  readonly cgroupRoots: readonly string[];
  readonly now: () => number;
}

export class PodNamespaces {
  readonly #deps: PodNamespacesDeps;
  readonly #claims = new Map<WorkloadUid, Claim>();
  #cgroups: PodCgroups = new Map();

  constructor(deps: PodNamespacesDeps) {
    this.#deps = deps;
  }

  /**
   * A sandbox was made for the pod, with the namespace at `path`.
   * @throws MeshError NETNS if it is none, or has not all the pod's addresses; nothing changes then
   */
  async claim(workload: Workload, containerId: string, path: string): Promise<void> {
    const netns = this.#openClaimed(path);
    try {
      const missing = await missingAddresses(this.#deps.native, netns, workload.addresses);
      if (missing.length > 0) throw lacks(workload, netns, missing);
    } catch (error) {
      netns.close();
      throw asMeshError(error, 'NETNS');
    }
    this.#claims.get(workload.uid)?.netns.close();
    this.#claims.set(workload.uid, { containerId, netns, since: this.#deps.now() });
  }

  #openClaimed(path: string): PodNetns {
    try {
      return openNetns(this.#deps.native, path);
    } catch (cause) {
      throw new MeshError('NETNS', `the sandbox’s network namespace ${path}: ${asMeshError(cause).message}`, {
        hint: 'the node program must see the processes of its host (hostPID), with CAP_SYS_PTRACE',
        cause,
      });
    }
  }

  /** The sandbox is gone. Returns whose it was; undefined if that pod has a newer one, or was never claimed. */
  release(containerId: string): WorkloadUid | undefined {
    const [uid, claim] = [...this.#claims].find(([, other]) => other.containerId === containerId) ?? [];
    if (uid === undefined) return undefined;
    claim?.netns.close();
    this.#claims.delete(uid);
    return uid;
  }

  claims(): readonly { readonly uid: WorkloadUid; readonly containerId: string; readonly since: number }[] {
    return Array.from(this.#claims, ([uid, { containerId, since }]) => ({ uid, containerId, since }));
  }

  /** False only if the CNI plugin named another namespace as the pod's. */
  mayBe(uid: WorkloadUid, netns: PodNetns): boolean {
    const claim = this.#claims.get(uid);
    return claim === undefined || sameNetns(claim.netns, netns);
  }

  /**
   * The pod's namespace; whoever asked closes it.
   * @throws MeshError NETNS when nobody knows one, or none that is known has all the pod's addresses
   */
  async open(workload: Workload): Promise<PodNetns> {
    const foreign: PodNetns[] = [];
    try {
      for await (const netns of this.#candidates(workload)) {
        foreign.push(netns);
        if (foreign.some((other) => other !== netns && sameNetns(other, netns))) continue;
        const missing = await missingAddresses(this.#deps.native, netns, workload.addresses);
        if (missing.length === 0) return foreign.pop() ?? netns;
      }
      throw await this.#notFound(workload, foreign[0]);
    } finally {
      for (const netns of foreign) netns.close();
    }
  }

  /** Whether any process is known to run in the pod, as of the last scan. */
  async isRunning(uid: WorkloadUid): Promise<boolean> {
    for (const cgroup of this.#cgroups.get(uid) ?? []) {
      if ((await processesOf(cgroup)).length > 0) return true;
    }
    return false;
  }

  async scan(): Promise<void> {
    this.#cgroups = await findPodCgroups(this.#deps.cgroupRoots);
  }

  async *#candidates({ uid, nodeUid = uid }: Workload): AsyncGenerator<PodNetns> {
    const claim = this.#claims.get(uid);
    if (claim !== undefined) yield openNetns(this.#deps.native, claim.netns.path);
    if (!this.#cgroups.has(nodeUid)) await this.scan();
    for (const cgroup of this.#cgroups.get(nodeUid) ?? []) {
      for (const pid of await processesOf(cgroup)) {
        const netns = this.#netnsOf(pid);
        if (netns !== undefined) yield netns;
      }
    }
  }

  /** Undefined when the process ended meanwhile. */
  #netnsOf(pid: number): PodNetns | undefined {
    try {
      return openNetns(this.#deps.native, `/proc/${pid}/ns/net`);
    } catch {
      return undefined;
    }
  }

  async #notFound(workload: Workload, foreign: PodNetns | undefined): Promise<MeshError> {
    const { namespace, name, uid, nodeUid = uid, addresses } = workload;
    const cgroups = this.#cgroups.get(nodeUid);
    // Next time the trees are looked at again: the pod may have been made anew.
    this.#cgroups.delete(nodeUid);
    if (foreign === undefined) {
      const where = cgroups?.join(', ') ?? `missing below ${this.#deps.cgroupRoots.join(', ')}`;
      return new MeshError('NETNS', `${namespace}/${name}: no process holds its network namespace`, {
        hint: `is the pod running? its cgroup is ${where}`,
      });
    }
    return lacks(workload, foreign, await missingAddresses(this.#deps.native, foreign, addresses));
  }
}

const lacks = ({ namespace, name }: Workload, netns: PodNetns, missing: readonly IpAddress[]): MeshError =>
  new MeshError(
    'NETNS',
    `${namespace}/${name}: its network namespace net:[${netns.inode}] lacks the pod's address ${missing.join(', ')}`,
    {
      hint: 'not enrolled, so that no other pod gets its identity; it is tried again when the addresses are there',
    },
  );
