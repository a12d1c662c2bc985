/**
 * Keeps the pods of this node that should be in the mesh in it, and no others: finds a pod's network namespace,
 * proves it, prepares it, starts to listen, and only then captures. One operation per pod at a time; whatever fails
 * is tried again. A pod that is not enrolled is reported, never forgotten.
 */
import type { Clock } from '../base/clock.ts';
import { asMeshError, type MeshError } from '../base/errors.ts';
import { type IpAddress, isIpv4 } from '../base/ip.ts';
import type { Logger } from '../base/log.ts';
import type { NodeName, Workload, WorkloadUid } from '../model/mesh.ts';
import type { MeshReader, MeshView } from '../model/view.ts';
import type { Fd, NativeBinding } from '../native/binding.ts';
import type { Keeper } from '../native/keeper.ts';
import type { PodListeners, TunnelEngine } from '../net/engine.ts';
import { KeyedWorker } from './keyed-worker.ts';
import type { NetnsRules } from './netns-rules.ts';
import { findPodCgroups } from './pod-finder.ts';
import {
  adoptListeners,
  createListeners,
  dropListeners,
  holdListeners,
  type ListenerPlace,
} from './pod-listeners.ts';
import { openPodNetns, type PodNetns } from './pod-netns.ts';

/** The kernel side of enrolment (`src/datapath`). */
export interface Capture {
  enrol(pod: {
    readonly uid: WorkloadUid;
    /** `NAMESPACE/NAME`, for people who read the maps. */
    readonly label: string;
    readonly netns: string;
    readonly addresses: readonly IpAddress[];
    readonly plaintextListener: Fd;
  }): Promise<void>;
  unenrol(uid: WorkloadUid): Promise<void>;
  /** Also those that an earlier agent captured. */
  captured(): readonly WorkloadUid[];
}

export type PodState =
  | { readonly state: 'enrolled'; readonly since: number }
  | { readonly state: 'pending' }
  | {
      readonly state: 'failed';
      readonly since: number;
      readonly attempts: number;
      readonly error: MeshError;
    };

export interface EnrolmentDeps {
  readonly mesh: MeshReader;
  readonly native: Pick<
    NativeBinding,
    'openPath' | 'closeFd' | 'netnsId' | 'netnsAddresses' | 'createSocket'
  >;
  /** Holds the pods' listening sockets while the worker is restarted. */
  readonly keeper: Keeper;
  readonly capture: Capture;
  readonly rules: NetnsRules;
  readonly engine: Pick<TunnelEngine, 'addPod' | 'removePod'>;
  readonly clock: Clock;
  readonly log: Logger;
  /** Told of every attempt that failed, for metrics. */
  readonly attemptFailed: (error: MeshError) => void;
}

export interface EnrolmentOptions {
  readonly node: NodeName;
  /** Cgroup v2 directory under which this node's pods are. */
  readonly cgroupRoot: string;
  /** How often what is enrolled is compared with what runs. */
  readonly verifyEveryMs: number;
}

interface Enrolled {
  readonly workload: Workload;
  readonly netns: PodNetns;
  readonly since: number;
}

export class Enrolment {
  readonly #deps: EnrolmentDeps;
  readonly #options: EnrolmentOptions;
  readonly #worker: KeyedWorker<WorkloadUid>;
  readonly #enrolled = new Map<WorkloadUid, Enrolled>();
  /** Pods wanted but not enrolled since their last attempt failed. */
  readonly #failed = new Map<WorkloadUid, Extract<PodState, { state: 'failed' }>>();
  /** Enrolled pods whose network namespace was found to be another one now. */
  readonly #replaced = new Set<WorkloadUid>();
  /** Pods served with sockets of an earlier worker, whose namespaces are still to be looked after. */
  readonly #unprepared = new Set<WorkloadUid>();
  #cgroups = new Map<WorkloadUid, string>();
  #stopWatching: (() => void) | undefined;
  #cancelVerify: (() => void) | undefined;

  constructor(deps: EnrolmentDeps, options: EnrolmentOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#worker = new KeyedWorker({
      reconcile: (uid) => this.#reconcile(uid),
      failed: (uid, error, attempts) => this.#recordFailure(uid, error, attempts),
      clock: deps.clock,
      firstDelayMs: 50,
      maxDelayMs: 5_000,
    });
  }

  /** Enrols what the current view wants, drops what an earlier agent left behind, and follows the view from there. */
  async start(): Promise<void> {
    const { mesh, capture } = this.#deps;
    const wanted = this.#wantedPods(mesh.view);
    for (const uid of new Set([...wanted, ...capture.captured()])) this.#worker.mark(uid);
    this.#stopWatching = mesh.subscribe((_view, diff) =>
      diff.workloads.forEach(({ key }) => this.#worker.mark(key)),
    );
    this.#scheduleVerify();
    await this.#worker.settled();
    const left = this.#deps.keeper.ready();
    if (left > 0) this.#deps.log.info({ left }, 'closed what an earlier worker left and nobody needs');
    for (const uid of this.#unprepared) this.#worker.mark(uid);
  }

  /** Stops following; pods stay captured, so that nothing bypasses the mesh while no agent runs. */
  async stop(): Promise<void> {
    this.#stopWatching?.();
    this.#cancelVerify?.();
    await this.#worker.stop();
  }

  stateOf(uid: WorkloadUid): PodState | undefined {
    const enrolled = this.#enrolled.get(uid);
    if (enrolled !== undefined) return { state: 'enrolled', since: enrolled.since };
    return this.#failed.get(uid) ?? (this.#wanted(uid) === undefined ? undefined : { state: 'pending' });
  }

  counts(): { readonly expected: number; readonly enrolled: number } {
    return { expected: this.#wantedPods(this.#deps.mesh.view).length, enrolled: this.#enrolled.size };
  }

  #wantedPods(view: MeshView): WorkloadUid[] {
    return [...view.workloads.keys()].filter((uid) => this.#wanted(uid) !== undefined);
  }

  /** The workload, if it runs here and belongs into the mesh. */
  #wanted(uid: WorkloadUid): Workload | undefined {
    const workload = this.#deps.mesh.view.workloads.get(uid);
    const here =
      workload?.node === this.#options.node && workload.protocol === 'hbone' && !workload.hostNetwork;
    return here && workload.addresses.length > 0 ? workload : undefined;
  }

  async #reconcile(uid: WorkloadUid): Promise<void> {
    const wanted = this.#wanted(uid);
    const current = this.#enrolled.get(uid);
    if (wanted === undefined) return this.#leave(uid);
    if (current === undefined) return this.#enrol(wanted);
    const replaced = this.#replaced.delete(uid);
    if (sameSockets(current.workload, wanted) && !replaced) return this.#prepareAgain(current);
    await this.#leave(uid);
    await this.#enrol(wanted);
  }

  async #enrol(workload: Workload): Promise<void> {
    const { native, clock, log } = this.#deps;
    const { uid, addresses } = workload;
    const netns = await openPodNetns(native, workload, await this.#cgroupOf(uid));
    const place = { uid, netns, ipv6: addresses.some((ip) => !isIpv4(ip)) };
    try {
      await this.#serve(workload, place, this.#adopt(place) ?? (await this.#prepare(place)));
    } catch (error) {
      netns.close();
      throw error;
    }
    this.#enrolled.set(uid, { workload, netns, since: clock.now() });
    this.#failed.delete(uid);
    log.info({ pod: uid, namespace: workload.namespace, name: workload.name }, 'pod enrolled');
  }

  /** Connections wait for them, and an earlier worker has prepared the namespace: the rest is for later. */
  #adopt(place: ListenerPlace): PodListeners | undefined {
    const listeners = adoptListeners(this.#deps.native, this.#deps.keeper, place);
    if (listeners !== undefined) this.#unprepared.add(place.uid);
    return listeners;
  }

  async #prepare(place: ListenerPlace): Promise<PodListeners> {
    await this.#deps.rules.add(place.netns.path, familiesOf(place.ipv6));
    return createListeners(this.#deps.native, place);
  }

  async #prepareAgain({ workload: { uid, addresses }, netns }: Enrolled): Promise<void> {
    if (!this.#unprepared.has(uid)) return;
    await this.#deps.rules.add(netns.path, familiesOf(addresses.some((ip) => !isIpv4(ip))));
    this.#unprepared.delete(uid);
  }

  /** Captured before it is served: what arrives in between waits in the listen queue and is not let through. */
  async #serve(
    { uid, addresses, identity, namespace, name }: Workload,
    place: ListenerPlace,
    listeners: PodListeners,
  ): Promise<void> {
    const { native, keeper, capture, engine } = this.#deps;
    const netns = place.netns.path;
    try {
      await capture.enrol({
        uid,
        label: `${namespace}/${name}`,
        netns,
        addresses,
        plaintextListener: listeners.plaintext,
      });
    } catch (error) {
      Object.values(listeners).forEach((fd: Fd) => native.closeFd(fd));
      dropListeners(keeper, uid);
      throw error;
    }
    holdListeners(keeper, place, listeners);
    engine.addPod({ uid, identity, addresses, netns }, listeners);
  }

  async #leave(uid: WorkloadUid): Promise<void> {
    const { capture, engine, keeper, log } = this.#deps;
    const current = this.#enrolled.get(uid);
    this.#failed.delete(uid);
    this.#unprepared.delete(uid);
    if (current === undefined && !capture.captured().includes(uid)) return;
    await capture.unenrol(uid);
    dropListeners(keeper, uid);
    engine.removePod(uid);
    this.#enrolled.delete(uid);
    if (current !== undefined) await this.#release(current);
    log.info({ pod: uid }, 'pod left the mesh');
  }

  /** The namespace may be gone with its pod: nothing to clean then. */
  async #release({ netns, workload }: Enrolled): Promise<void> {
    await this.#deps.rules
      .remove(netns.path)
      .catch((error: unknown) =>
        this.#deps.log.warn(
          { pod: workload.uid, error: asMeshError(error).message },
          'could not clean up after a pod',
        ),
      );
    netns.close();
  }

  async #cgroupOf(uid: WorkloadUid): Promise<string> {
    const known = this.#cgroups.get(uid);
    if (known !== undefined) return known;
    this.#cgroups = await findPodCgroups(this.#options.cgroupRoot);
    return this.#cgroups.get(uid) ?? `missing below ${this.#options.cgroupRoot}`;
  }

  #recordFailure(uid: WorkloadUid, thrown: unknown, attempts: number): void {
    const error = asMeshError(thrown);
    const since = this.#failed.get(uid)?.since ?? this.#deps.clock.now();
    this.#failed.set(uid, { state: 'failed', since, attempts, error });
    this.#cgroups.delete(uid);
    this.#deps.attemptFailed(error);
    const fields = { pod: uid, code: error.code, error: error.message, hint: error.hint, attempts };
    // A pod that is just starting fails a few times before its processes are there.
    if (attempts < 4) this.#deps.log.debug(fields, 'pod not enrolled yet');
    else this.#deps.log.warn(fields, 'pod NOT enrolled');
  }

  #scheduleVerify(): void {
    this.#cancelVerify = this.#deps.clock.after(this.#options.verifyEveryMs, () => {
      void this.#verify().finally(() => this.#scheduleVerify());
    });
  }

  /** A pod whose sandbox was replaced has another namespace under the same UID: it is enrolled anew. */
  async #verify(): Promise<void> {
    this.#cgroups = await findPodCgroups(this.#options.cgroupRoot);
    for (const [uid, { workload, netns }] of this.#enrolled) {
      const cgroup = this.#cgroups.get(uid);
      if (cgroup === undefined) continue;
      const now = await openPodNetns(this.#deps.native, workload, cgroup).catch(() => undefined);
      now?.close();
      if (now === undefined || now.inode === netns.inode) continue;
      this.#deps.log.warn({ pod: uid }, 'the pod has a new network namespace; enrolling it again');
      this.#replaced.add(uid);
      this.#worker.mark(uid);
    }
  }
}

const familiesOf = (ipv6: boolean): readonly (4 | 6)[] => (ipv6 ? [4, 6] : [4]);

/** Whether an enrolled pod can stay as it is under its new description. */
const sameSockets = (a: Workload, b: Workload): boolean =>
  a.identity === b.identity && a.addresses.join() === b.addresses.join();
