/**
 * Enrolled pods: which namespaces are captured, and what stands in front of their sockets. Each step of enrolment
 * only ever closes something, and the last one, the entry in `pods`, makes the pod a captured one; leaving goes the
 * other way round. So at every moment, a crash included, a pod's connection is captured, refused or (as long as it
 * is not enrolled) direct, and never let past the mesh half-way:
 *
 * 1. listener into `listeners`, addresses into `local_pods`: nothing reads them yet;
 * 2. the sk_lookup link: inbound plaintext goes to ztunnel from here on (without 1 it would be dropped);
 * 3. addresses into `guarded`: pods of the node may reach it on the kernel path, which the link now watches. Not those
 *    that another pod has, too (in a network of its own, or because it is about to leave): whose policies would count?
 * 4. the entry in `pods`: outbound connections are captured from here on, and what may not leave the mesh is refused.
 */
import type { IpAddress } from '../base/ip.ts';
import { isIpv4 } from '../base/ip.ts';
import { MeshError } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import type { WorkloadUid } from '../model/mesh.ts';
import type { Fd } from '../native/binding.ts';
import { fitLabel, maxUidBytes, type Pod } from './abi/layout.ts';
import type { FlowShares } from './kernel-path/flow-shares.ts';
import type { MapTable } from './map-table.ts';

export interface PodEnrolment {
  readonly uid: WorkloadUid;
  /** `NAMESPACE/NAME`, for people who read the maps. */
  readonly label: string;
  /** Of its network namespace. */
  readonly cookie: bigint;
  /** Path of its network namespace. */
  readonly netns: string;
  /** The first of each family is the one its captured connections come from. */
  readonly addresses: readonly IpAddress[];
  /** Stays the caller's, and must stay open while the pod is enrolled. */
  readonly plaintextListener: Fd;
}

export interface EnrolledPod {
  readonly uid: WorkloadUid;
  readonly podId: number;
  readonly label: string;
  readonly cookie: bigint;
  readonly netnsInode: bigint;
  /** Path of its network namespace; undefined: an earlier agent's, not enrolled by this one yet. */
  readonly netns: string | undefined;
  readonly addresses: readonly IpAddress[];
  /** Whose entries in the `egress` map restrict it; 0n: none do. */
  readonly egressSet: bigint;
}

const maxFormer = 4096;

type Table<K, V> = Pick<MapTable<K, V>, 'get' | 'set' | 'setAll' | 'delete' | 'deleteAll' | 'entries'>;

export interface PodDeps {
  readonly pods: Table<bigint, Pod>;
  readonly localPods: Table<IpAddress, number>;
  readonly guarded: Table<IpAddress, number>;
  readonly listeners: Table<number, bigint>;
  /** Of the `flows` map: what has none is not on the kernel path. */
  readonly shares: Pick<FlowShares, 'add' | 'remove' | 'keepOnly'>;
  readonly links: {
    attachPod(inode: bigint, netns: string): void;
    detachPod(inode: bigint): void;
    attachedPods(): bigint[];
  };
  netnsInode(netns: string): bigint;
  /** What restricts a pod from its first moment on; complete in the `egress` map when it is returned. */
  egressSet(uid: WorkloadUid): bigint;
  /** For a pod that has none: never one that any pod has had. */
  newPodId(atLeast: number): number;
  /** The node's own namespace, which must not be captured. */
  readonly nodeCookie: bigint;
  readonly log: Logger;
}

export class EnrolledPods {
  readonly #deps: PodDeps;
  readonly #byUid: Map<WorkloadUid, EnrolledPod>;
  /** Ids of pods that left, the newest last: some of their connections go on. */
  readonly #former = new Map<number, WorkloadUid>();

  /** Takes over the pods that an earlier agent enrolled, as the maps have them. */
  constructor(deps: PodDeps) {
    this.#deps = deps;
    this.#byUid = recover(deps);
  }

  list(): readonly EnrolledPod[] {
    return [...this.#byUid.values()];
  }

  /** Whose id it is, or was not long ago. */
  uidOf(podId: number): WorkloadUid | undefined {
    return this.byId(podId)?.uid ?? this.#former.get(podId);
  }

  byId(podId: number): EnrolledPod | undefined {
    return this.list().find((pod) => pod.podId === podId);
  }

  /**
   * Enrols a pod, or brings one that is enrolled up to date: after a restart, with new addresses, in a new
   * namespace. If it fails, a new pod is not enrolled at all and a known one stays as it was or becomes stricter.
   * @returns its id, the same as long as it is enrolled
   * @throws MeshError INVALID_ARGUMENT, NETNS, BPF_MAP_FULL, BPF_ATTACH
   */
  enrol(request: PodEnrolment): number {
    this.#check(request);
    const before = this.#byUid.get(request.uid);
    const pod: EnrolledPod = {
      uid: request.uid,
      podId: before?.podId ?? this.#newId(),
      label: fitLabel(request.label),
      cookie: request.cookie,
      netnsInode: this.#deps.netnsInode(request.netns),
      netns: request.netns,
      addresses: request.addresses,
      egressSet: this.#deps.egressSet(request.uid),
    };
    try {
      this.#admit(pod, request);
    } catch (thrown) {
      if (before === undefined) this.#withdraw(pod);
      throw thrown;
    }
    this.#byUid.set(pod.uid, pod);
    if (before !== undefined) this.#dropLeftovers(before, pod);
    return pod.podId;
  }

  /** From now on these entries of the `egress` map restrict it, which must be there. @throws MeshError BPF_MAP */
  setEgress(uid: WorkloadUid, egressSet: bigint): void {
    const pod = this.#byUid.get(uid);
    if (pod === undefined || pod.egressSet === egressSet) return;
    const changed = { ...pod, egressSet };
    this.#deps.pods.set(pod.cookie, entryOf(changed));
    this.#byUid.set(uid, changed);
  }

  /** False if it was not enrolled. Its connections are then neither captured nor admitted by the mesh. */
  unenrol(uid: WorkloadUid): boolean {
    const pod = this.#byUid.get(uid);
    if (pod === undefined) return false;
    this.#withdraw(pod);
    this.#byUid.delete(uid);
    this.#giveBack(pod.addresses);
    this.#former.set(pod.podId, uid);
    const [oldest] = this.#former.keys();
    if (this.#former.size > maxFormer && oldest !== undefined) this.#former.delete(oldest);
    return true;
  }

  /** Removes links and entries that belong to no enrolled pod: what a crash or a hand left behind. */
  sweep(): void {
    const { links, localPods, guarded, listeners, log } = this.#deps;
    const pods = this.list();
    const ids = new Set(pods.map(({ podId }) => podId));
    const inodes = new Set(pods.map(({ netnsInode }) => netnsInode));
    const orphanLinks = links.attachedPods().filter((inode) => !inodes.has(inode));
    const orphanAddresses = localPods.entries().filter(([, id]) => !ids.has(id));
    const orphanListeners = listeners.entries().filter(([id]) => !ids.has(id));
    guarded.deleteAll(
      guarded
        .entries()
        .filter(([, id]) => !ids.has(id))
        .map(([ip]) => ip),
    );
    orphanLinks.forEach((inode) => links.detachPod(inode));
    localPods.deleteAll(orphanAddresses.map(([ip]) => ip));
    listeners.deleteAll(orphanListeners.map(([id]) => id));
    this.#deps.shares.keepOnly(ids);
    const removed = orphanLinks.length + orphanAddresses.length + orphanListeners.length;
    if (removed > 0) log.info({ removed }, 'removed what belonged to no enrolled pod');
  }

  #check({ uid, cookie, netns, addresses }: PodEnrolment): void {
    if (cookie === this.#deps.nodeCookie) {
      throw new MeshError('INVALID_ARGUMENT', `${uid} shares the node's network namespace`, {
        hint: 'pods with hostNetwork cannot be enrolled',
      });
    }
    const owner = this.list().find((pod) => pod.cookie === cookie);
    if (owner !== undefined && owner.uid !== uid) {
      throw new MeshError('NETNS', `${netns} is not ${uid}'s network namespace but ${owner.uid}'s`, {
        hint: 'if that pod is gone, unenrol it first',
      });
    }
    if (addresses.length === 0) throw new MeshError('INVALID_ARGUMENT', `${uid} has no address`);
    if (Buffer.byteLength(uid) > maxUidBytes) {
      throw new MeshError('INVALID_ARGUMENT', `"${uid}" has more than ${maxUidBytes} bytes`);
    }
  }

  #newId(): number {
    return this.#deps.newPodId(1 + Math.max(0, ...this.list().map(({ podId }) => podId)));
  }

  /** The steps of the comment at the top. */
  #admit(pod: EnrolledPod, request: PodEnrolment): void {
    const { pods, localPods, guarded, listeners, shares, links } = this.#deps;
    const addresses = pod.addresses.map((ip) => [ip, pod.podId] as const);
    listeners.set(pod.podId, BigInt(request.plaintextListener));
    localPods.setAll(addresses);
    const shared = addresses.filter(([ip]) => this.#isShared(ip, pod));
    guarded.deleteAll(shared.map(([ip]) => ip));
    links.attachPod(pod.netnsInode, request.netns);
    guarded.setAll(addresses.filter((entry) => !shared.includes(entry)));
    shares.add(pod.podId);
    pods.set(pod.cookie, entryOf(pod));
  }

  /** The same steps backwards. Addresses another pod has got meanwhile stay that pod's. */
  #withdraw(pod: EnrolledPod): void {
    const { pods, listeners, shares } = this.#deps;
    if (pods.get(pod.cookie)?.uid === pod.uid) pods.delete(pod.cookie);
    release(this.#deps.guarded, pod, pod.addresses);
    this.#detach(pod);
    release(this.#deps.localPods, pod, pod.addresses);
    listeners.delete(pod.podId);
    shares.remove(pod.podId);
  }

  #dropLeftovers(before: EnrolledPod, now: EnrolledPod): void {
    const given = before.addresses.filter((ip) => !now.addresses.includes(ip));
    release(this.#deps.guarded, before, given);
    if (before.cookie !== now.cookie) this.#deps.pods.delete(before.cookie);
    if (before.netnsInode !== now.netnsInode) this.#detach(before);
    release(this.#deps.localPods, before, given);
    this.#giveBack(given);
  }

  /** Not if it is another pod's by now: the kernel gives the number of a namespace that is gone to a new one. */
  #detach({ uid, netnsInode }: EnrolledPod): void {
    if (this.list().some((other) => other.uid !== uid && other.netnsInode === netnsInode)) return;
    this.#deps.links.detachPod(netnsInode);
  }

  #isShared(ip: IpAddress, { uid }: EnrolledPod): boolean {
    return this.list().some((other) => other.uid !== uid && other.addresses.includes(ip));
  }

  /** What a pod had and another one has, too, is the other's alone now. */
  #giveBack(addresses: readonly IpAddress[]): void {
    for (const pod of this.list()) {
      const own = addresses.filter((ip) => pod.addresses.includes(ip)).map((ip) => [ip, pod.podId] as const);
      if (own.length === 0) continue;
      this.#deps.localPods.setAll(own);
      this.#deps.guarded.setAll(own.filter(([ip]) => !this.#isShared(ip, pod)));
    }
  }
}

function release(table: PodDeps['localPods'], { podId }: EnrolledPod, addresses: readonly IpAddress[]): void {
  table.deleteAll(addresses.filter((ip) => table.get(ip) === podId));
}

const entryOf = (pod: EnrolledPod): Pod => ({
  netnsInode: pod.netnsInode,
  id: pod.podId,
  uid: pod.uid,
  label: pod.label,
  ip4: pod.addresses.find(isIpv4),
  ip6: pod.addresses.find((ip) => !isIpv4(ip)),
  egressSet: pod.egressSet,
});

function recover({ pods, localPods }: PodDeps): Map<WorkloadUid, EnrolledPod> {
  const addresses = Map.groupBy(localPods.entries(), ([, id]) => id);
  return new Map(
    pods.entries().map(([cookie, entry]) => {
      const uid = entry.uid as WorkloadUid;
      const own = addresses.get(entry.id)?.map(([ip]) => ip) ?? [];
      const all = new Set([entry.ip4, entry.ip6, ...own].filter((ip) => ip !== undefined));
      const { id: podId, label, netnsInode, egressSet } = entry;
      return [
        uid,
        { uid, podId, label, cookie, netnsInode, netns: undefined, addresses: [...all], egressSet },
      ];
    }),
  );
}
