/**
 * Keeps the pods of this node that should be in the mesh in it, and no others: finds a pod's network namespace,
 * proves it, prepares it, starts to listen, and only then captures. One operation per pod at a time; whatever fails
 * is tried again. A pod that is not enrolled is reported, never forgotten.
 */
import type { Clock } from '../base/clock.ts';
import { asMeshError, MeshError } from '../base/errors.ts';
import { isIpv4 } from '../base/ip.ts';
import type { Logger } from '../base/log.ts';
import { sameAddresses } from '../model/early-workloads.ts';
import type { NodeName, Workload, WorkloadUid } from '../model/mesh.ts';
import type { MeshReader, MeshView } from '../model/view.ts';
import type { Fd, NativeBinding } from '../native/binding.ts';
import type { Keeper } from '../native/keeper.ts';
import type { PodListeners, TunnelEngine } from '../net/engine.ts';
import type { CaptureVerifier, Proof } from './capture-verifier.ts';
import { FinishingPods } from './finishing-pods.ts';
import { KeyedWorker } from './keyed-worker.ts';
import type { NetnsRules } from './netns-rules.ts';
import {
  adoptListeners,
  createListeners,
  dropListeners,
  holdListeners,
  type ListenerPlace,
} from './pod-listeners.ts';
import type { PodNamespaces } from './pod-namespaces.ts';
import { sameNetns } from './pod-netns.ts';
import type { Capture, CapturedPod, EnrolledPod, PodCounts, PodState } from './pod-state.ts';

export interface EnrolmentDeps {
  readonly mesh: MeshReader;
  /** Whether the model says what is, and not what a snapshot remembers while the API server is away. */
  readonly isCurrent: () => boolean;
  readonly native: Pick<NativeBinding, 'closeFd' | 'createSocket'>;
  readonly namespaces: PodNamespaces;
  /** Holds the pods' listening sockets while the worker is restarted. */
  readonly keeper: Keeper;
  readonly capture: Capture;
  readonly verifier: CaptureVerifier;
  readonly rules: NetnsRules;
  readonly engine: Pick<TunnelEngine, 'addPod' | 'removePod' | 'retirePod'>;
  readonly clock: Clock;
  readonly log: Logger;
  /** Told of every attempt that failed, for metrics. */
  readonly attemptFailed: (error: MeshError) => void;
}

export interface EnrolmentOptions {
  readonly node: NodeName;
  /** How often what is enrolled is compared with what runs. */
  readonly verifyEveryMs: number;
  /** How many pods are proved captured each time, in turn: two connections each. */
  readonly provedPerTurn: number;
}

/** At one time, of those whose turn it is. */
const provedAtOnce = 16;

export class Enrolment {
  readonly #deps: EnrolmentDeps;
  readonly #options: EnrolmentOptions;
  readonly #worker: KeyedWorker<WorkloadUid>;
  readonly #enrolled = new Map<WorkloadUid, EnrolledPod>();
  /** Pods wanted but not enrolled since their last attempt failed. */
  readonly #failed = new Map<WorkloadUid, Extract<PodState, { state: 'failed' }>>();
  /** Enrolled pods whose network namespace was found to be another one now. */
  readonly #replaced = new Set<WorkloadUid>();
  /** Pods served with sockets of an earlier worker, whose namespaces are still to be looked after. */
  readonly #unprepared = new Set<WorkloadUid>();
  readonly #finishing: FinishingPods;
  /** Enrolled pods whose capture was found not to work. */
  readonly #broken = new Set<WorkloadUid>();
  /** Not before the maps are in force: until then a pod is captured by an earlier agent's, or not at all. */
  #proving = false;
  #stopWatching: (() => void) | undefined;
  #cancelVerify: (() => void) | undefined;
  #verifying: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(deps: EnrolmentDeps, options: EnrolmentOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#finishing = new FinishingPods(deps, (uid) => this.#worker.mark(uid));
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
    this.#stopped = true;
    this.#stopWatching?.();
    this.#cancelVerify?.();
    await this.#worker.stop();
    await this.#verifying;
  }

  /** From now on enrolled pods are proved captured, beginning at once. To be called when the datapath is active. */
  startProving(): void {
    this.#proving = true;
    this.#cancelVerify?.();
    this.#scheduleVerify(0);
  }

  /**
   * Enrols a pod of the model now, in the namespace that is known to be its own.
   * @throws MeshError why it could not be, or is not captured; it is tried again all the same
   */
  async enrolNow(uid: WorkloadUid): Promise<void> {
    await this.#worker.run(uid);
    const enrolled = this.#enrolled.get(uid);
    if (enrolled === undefined) throw new MeshError('NOT_FOUND', `pod ${uid} does not belong into the mesh`);
    const known = this.#deps.verifier.proofOf(uid);
    const { error } = known?.error === undefined && known !== undefined ? known : await this.#prove(enrolled);
    if (error !== undefined) throw error;
  }

  stateOf(uid: WorkloadUid): PodState | undefined {
    const enrolled = this.#enrolled.get(uid);
    if (enrolled !== undefined) {
      return { state: 'enrolled', since: enrolled.since, proof: this.#deps.verifier.proofOf(uid) };
    }
    return this.#failed.get(uid) ?? (this.#wanted(uid) === undefined ? undefined : { state: 'pending' });
  }

  counts(): PodCounts {
    return {
      expected: this.#wantedPods(this.#deps.mesh.view).length,
      enrolled: this.#enrolled.size,
      verified: this.#deps.verifier.verified,
    };
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
    await this.#finishing.cleanUp(uid, wanted === undefined && current === undefined);
    if (wanted === undefined)
      return (await this.#mayLeave(uid))
        ? this.#leave(uid, this.#deps.mesh.view.workloads.has(uid))
        : undefined;
    if (current === undefined) return this.#enrol(wanted);
    const replaced = this.#replaced.delete(uid) || !this.#deps.namespaces.mayBe(uid, current.netns);
    if (!sameSockets(current.workload, wanted) || replaced) {
      await this.#leave(uid, false);
      await this.#enrol(wanted);
      return;
    }
    await this.#prepareAgain(current);
    if (this.#broken.delete(uid)) await this.#mend(current);
  }

  /**
   * A pod that an earlier agent captured and the model does not know may be one that is just being made; and a snapshot
   * may be older than the label. While its processes run it stays captured, for nobody said that it does not belong
   * into the mesh.
   */
  async #mayLeave(uid: WorkloadUid): Promise<boolean> {
    const { mesh, capture, isCurrent, namespaces } = this.#deps;
    if (this.#enrolled.has(uid) || !capture.captured().includes(uid)) return true;
    if (mesh.view.workloads.has(uid) && isCurrent()) return true;
    return !(await namespaces.isRunning(uid));
  }

  async #enrol(workload: Workload): Promise<void> {
    const { namespaces, clock, log } = this.#deps;
    const { uid, addresses } = workload;
    const netns = await namespaces.open(workload);
    const place = { uid, netns, ipv6: addresses.some((ip) => !isIpv4(ip)) };
    let captured: CapturedPod;
    try {
      captured = await this.#serve(workload, place, this.#adopt(place) ?? (await this.#prepare(place)));
    } catch (error) {
      netns.close();
      throw error;
    }
    const enrolled = { workload, netns, captured, since: clock.now() };
    this.#enrolled.set(uid, enrolled);
    this.#failed.delete(uid);
    log.info({ pod: uid, namespace: workload.namespace, name: workload.name }, 'pod enrolled');
    if (this.#proving) await this.#prove(enrolled);
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

  async #prepareAgain({ workload: { uid, addresses }, netns }: EnrolledPod): Promise<void> {
    if (!this.#unprepared.has(uid)) return;
    await this.#deps.rules.add(netns.path, familiesOf(addresses.some((ip) => !isIpv4(ip))));
    this.#unprepared.delete(uid);
  }

  /** Captured before it is served: what arrives in between waits in the listen queue and is not let through. */
  async #serve(
    { uid, addresses, identity, namespace, name }: Workload,
    place: ListenerPlace,
    listeners: PodListeners,
  ): Promise<CapturedPod> {
    const { native, keeper, capture, engine } = this.#deps;
    const netns = place.netns.path;
    const captured = {
      uid,
      label: `${namespace}/${name}`,
      netns,
      addresses,
      plaintextListener: listeners.plaintext,
    };
    try {
      await capture.enrol(captured);
    } catch (error) {
      Object.values(listeners).forEach((fd: Fd) => native.closeFd(fd));
      dropListeners(keeper, uid);
      throw error;
    }
    holdListeners(keeper, place, listeners);
    engine.addPod({ uid, identity, addresses, netns }, listeners);
    return captured;
  }

  /** A pod that lives on outside of the mesh keeps the connections it has. */
  async #leave(uid: WorkloadUid, livesOn: boolean): Promise<void> {
    const { capture, engine, keeper, log } = this.#deps;
    const current = this.#enrolled.get(uid);
    this.#failed.delete(uid);
    this.#unprepared.delete(uid);
    const isCaptured = current !== undefined || capture.captured().includes(uid);
    if (isCaptured) await capture.unenrol(uid);
    dropListeners(keeper, uid);
    const finishes = current !== undefined && livesOn;
    if (finishes) this.#finishing.add(current);
    // Of one that is gone, also what it once left the mesh with.
    else if (isCaptured || !livesOn) engine.removePod(uid);
    if (!isCaptured) return;
    this.#enrolled.delete(uid);
    this.#broken.delete(uid);
    this.#deps.verifier.forget(uid);
    if (current !== undefined && !finishes) await this.#finishing.release(current);
    log.info({ pod: uid }, 'pod left the mesh');
  }

  #recordFailure(uid: WorkloadUid, thrown: unknown, attempts: number): void {
    const error = asMeshError(thrown);
    const since = this.#failed.get(uid)?.since ?? this.#deps.clock.now();
    this.#failed.set(uid, { state: 'failed', since, attempts, error });
    this.#deps.attemptFailed(error);
    const fields = { pod: uid, code: error.code, error: error.message, hint: error.hint, attempts };
    // A pod that is just starting fails a few times before its processes are there.
    if (attempts < 4) this.#deps.log.debug(fields, 'pod not enrolled yet');
    else this.#deps.log.warn(fields, 'pod NOT enrolled');
  }

  #scheduleVerify(delayMs: number = this.#options.verifyEveryMs): void {
    if (this.#stopped) return;
    this.#cancelVerify = this.#deps.clock.after(delayMs, () => {
      this.#verifying = this.#verify().finally(() => this.#scheduleVerify());
    });
  }

  /** A pod whose sandbox was replaced has another namespace under the same UID: it is enrolled anew. */
  async #verify(): Promise<void> {
    const { namespaces, log } = this.#deps;
    await namespaces.scan();
    this.#forgottenPods().forEach((uid) => this.#worker.mark(uid));
    for (const [uid, { workload, netns }] of this.#enrolled) {
      const now = await namespaces.open(workload).catch(() => undefined);
      now?.close();
      if (now === undefined || sameNetns(now, netns)) continue;
      log.warn({ pod: uid }, 'the pod has a new network namespace; enrolling it again');
      this.#replaced.add(uid);
      this.#worker.mark(uid);
    }
    await this.#proveSome();
  }

  /** Captured by an earlier agent, and neither wanted nor let go so far. */
  #forgottenPods(): readonly WorkloadUid[] {
    return this.#deps.capture
      .captured()
      .filter((uid) => !this.#enrolled.has(uid) && this.#wanted(uid) === undefined);
  }

  /** What does not hold is mended, by whoever works on that pod. */
  async #proveSome(): Promise<void> {
    if (!this.#proving) return;
    const turn = this.#deps.verifier.turn([...this.#enrolled.values()], this.#options.provedPerTurn);
    // Some at a time: one that does not answer takes seconds, and must not keep the others from their turn.
    for (let at = 0; at < turn.length; at += provedAtOnce) {
      await Promise.all(turn.slice(at, at + provedAtOnce).map((pod) => this.#proveOrMend(pod)));
    }
  }

  async #proveOrMend(pod: EnrolledPod): Promise<void> {
    const { error } = await this.#prove(pod);
    if (error === undefined || this.#stopped) return;
    this.#broken.add(pod.workload.uid);
    await this.#worker.run(pod.workload.uid).catch(() => {});
  }

  async #prove(pod: EnrolledPod): Promise<Proof> {
    const { verifier, log } = this.#deps;
    const { uid, namespace, name } = pod.workload;
    const proof = await verifier.verify(pod.captured);
    if (this.#enrolled.get(uid) !== pod) {
      // It left, or was enrolled anew, meanwhile.
      verifier.forget(uid);
    } else if (proof.error !== undefined) {
      this.#deps.attemptFailed(proof.error);
      log.warn({ pod: uid, namespace, name, error: proof.error.message }, 'capture of the pod does not hold');
    }
    return proof;
  }

  /** What the kernel has of the pod is written again; no connection ends. */
  async #mend(pod: EnrolledPod): Promise<void> {
    await this.#deps.capture.enrol(pod.captured);
    await this.#prove(pod);
  }
}

const familiesOf = (ipv6: boolean): readonly (4 | 6)[] => (ipv6 ? [4, 6] : [4]);

/** Whether an enrolled pod can stay as it is under its new description. */
const sameSockets = (a: Workload, b: Workload): boolean =>
  a.identity === b.identity && sameAddresses(a.addresses, b.addresses);
