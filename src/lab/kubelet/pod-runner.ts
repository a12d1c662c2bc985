/**
 * One pod from its first namespace to its last process: set up, enrolled, started, restarted, probed, ended. Tells the
 * kubelet when its condition changed; writes no objects. Goes on where an earlier kubelet left off.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Clock } from '../../base/clock.ts';
import { asMeshError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { isOver, pendingPod, publishedCondition } from '../plan/pod-status.ts';
import type { PodCondition } from '../plan/pod-status.ts';
import type { Environment } from '../plan/pod-files.ts';
import { afterExit, restartDelayMs, restartsSoFar, shouldRestart } from '../plan/restart.ts';
import type { RestartCount } from '../plan/restart.ts';
import { writePodRecord } from '../pod-record.ts';
import type { PodRecord } from '../pod-record.ts';
import type { ProcessRef } from '../system/process.ts';
import { adoptContainer, startContainer } from './container.ts';
import type { ContainerExit, RunningContainer } from './container.ts';
import { waitUntilEnrolled } from './enrolment.ts';
import type { EnrolmentGate } from './enrolment.ts';
import { findPodNetwork, makePodNetwork, removePodNetwork } from './pod-network.ts';
import type { PodPlace } from './pod-network.ts';
import { checkProbe } from './probe-check.ts';
import { watchReadiness } from './readiness.ts';

export interface PodRunnerDeps {
  readonly clock: Clock;
  readonly log: Logger;
  /** Whom to ask before the command starts; undefined for a pod outside the mesh. */
  readonly gate: EnrolmentGate | undefined;
  readonly environment: Environment;
  /** Bounds how many pods are set up at once. */
  readonly setUpSlot: <T>(action: () => Promise<T>) => Promise<T>;
  readonly onChange: () => void;
}

export class PodRunner {
  readonly #place: PodPlace;
  readonly #deps: PodRunnerDeps;
  readonly #stopping = new AbortController();
  #condition: PodCondition;
  #restarts: RestartCount;
  #container: RunningContainer | undefined;
  /** When the pod must be gone at last, ms since the epoch; Infinity while nobody wants it to end. */
  #deadline = Number.POSITIVE_INFINITY;
  #cancelKill: () => void = () => {};
  #gone = false;

  constructor(place: PodPlace, deps: PodRunnerDeps) {
    this.#place = place;
    this.#deps = deps;
    this.#condition = publishedCondition(place.pod);
    this.#restarts = restartsSoFar(this.#condition.restarts);
    void this.#live();
  }

  get logFile(): string {
    return this.#place.paths.log;
  }

  get condition(): PodCondition {
    return this.#condition;
  }

  /** Ended and cleaned up after `terminate`. */
  get gone(): boolean {
    return this.#gone;
  }

  /** Asks the command to end, and ends it by force at `deadline` (ms since the epoch). A later call can only hurry. */
  terminate(deadline: number): void {
    if (deadline >= this.#deadline) return;
    this.#deadline = deadline;
    this.#stopping.abort();
    this.#container?.signal('SIGTERM');
    this.#cancelKill();
    const leftMs = Math.max(0, deadline - this.#deps.clock.now());
    this.#cancelKill = this.#deps.clock.after(leftMs, () => this.#container?.signal('SIGKILL'));
  }

  async #live(): Promise<void> {
    try {
      if (!isOver(this.#condition)) await this.#run();
    } catch (thrown) {
      this.#failed(thrown);
    }
    await this.#terminated();
    await this.#cleanUp();
  }

  async #run(): Promise<void> {
    const { gate, clock, setUpSlot } = this.#deps;
    const record = await setUpSlot(() => this.#settle());
    const isNew = record.container === undefined;
    if (isNew && gate !== undefined) {
      await waitUntilEnrolled({ gate, uid: this.#place.uid, clock, signal: this.#stopping.signal });
    }
    await this.#runContainer(record);
  }

  async #settle(): Promise<PodRecord> {
    const left = await findPodNetwork(this.#place);
    if (left !== undefined) return left;
    this.#become({ ...pendingPod, restarts: this.#restarts.total });
    await removePodNetwork(this.#place);
    return makePodNetwork(this.#place);
  }

  #failed(thrown: unknown): void {
    if (this.#stopping.signal.aborted) return;
    const error = asMeshError(thrown);
    const hint = error.hint === undefined ? '' : ` (${error.hint})`;
    this.#deps.log.error({ pod: this.#place.pod.metadata.name, code: error.code }, error.message);
    this.#become({ phase: 'Failed', ready: false, reason: error.code, message: `${error.message}${hint}` });
  }

  /** Starts the command again and again, as the restart policy says, until the pod is to end. */
  async #runContainer({ holder, container }: PodRecord): Promise<void> {
    const { signal } = this.#stopping;
    for (let left = container; left !== undefined || !signal.aborted; left = undefined) {
      this.#container = await (left === undefined ? this.#startContainer(holder) : this.#adopt(left));
      if (signal.aborted) this.#container?.signal('SIGTERM');
      const stopProbe = this.#startProbe();
      if (this.#container === undefined) return;
      const exit = await this.#container.exited;
      stopProbe();
      this.#container = undefined;
      await this.#writeDown(holder, undefined);
      if (signal.aborted || !(await this.#mayRestart(exit))) return;
    }
  }

  async #startContainer(holder: ProcessRef): Promise<RunningContainer | undefined> {
    const { pod, cgroup, paths } = this.#place;
    const { environment } = this.#deps;
    const container = await startContainer({ pod, holder, cgroup, paths, environment });
    await this.#writeDown(holder, container?.process);
    return container;
  }

  #adopt(left: ProcessRef): RunningContainer {
    return adoptContainer(left, this.#place.cgroup, this.#deps.clock);
  }

  #writeDown(holder: ProcessRef, container: ProcessRef | undefined): Promise<void> {
    const { uid, paths } = this.#place;
    return writePodRecord(paths, { uid, holder, ...(container === undefined ? {} : { container }) });
  }

  /** Without a probe a pod is ready when it runs. */
  #startProbe(): () => void {
    const { pod } = this.#place;
    const probe = pod.spec.containers[0]?.readinessProbe;
    const ready = probe === undefined || this.#condition.ready;
    this.#become({ phase: 'Running', ready, reason: '', message: '' });
    if (probe === undefined) return () => {};
    return watchReadiness({
      probe,
      ready,
      check: () => checkProbe(probe, pod),
      clock: this.#deps.clock,
      onChange: (now) => this.#become({ ready: now }),
    });
  }

  /** Waits out the delay before the next start. False when there is none. */
  async #mayRestart(exit: ContainerExit): Promise<boolean> {
    if (!shouldRestart(this.#place.pod.spec.restartPolicy ?? 'Always', exit.code)) {
      const [phase, reason] =
        exit.code === 0 ? (['Succeeded', 'Completed'] as const) : (['Failed', 'Error'] as const);
      this.#become({ phase, ready: false, reason, message: `the command ended with exit code ${exit.code}` });
      return false;
    }
    this.#restarts = afterExit(this.#restarts, exit.ranForMs);
    const waitMs = restartDelayMs(this.#restarts);
    const message = `the command ended with exit code ${exit.code}; next start in ${waitMs / 1000} s`;
    this.#become({ ready: false, restarts: this.#restarts.total, reason: 'CrashLoopBackOff', message });
    await delay(waitMs, undefined, { signal: this.#stopping.signal });
    return true;
  }

  #become(change: Partial<PodCondition>): void {
    this.#condition = { ...this.#condition, ...change };
    this.#deps.onChange();
  }

  /** A pod that is over keeps its namespaces until it is deleted, so that it can be looked at. */
  #terminated(): Promise<void> {
    const { signal } = this.#stopping;
    if (signal.aborted) return Promise.resolve();
    return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
  }

  async #cleanUp(): Promise<void> {
    this.#cancelKill();
    try {
      await removePodNetwork(this.#place);
    } catch (thrown) {
      this.#deps.log.error({ pod: this.#place.pod.metadata.name }, asMeshError(thrown).message);
    }
    this.#gone = true;
    this.#deps.onChange();
  }
}
