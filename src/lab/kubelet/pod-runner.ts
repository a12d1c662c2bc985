/**
 * One pod from its first namespace to its last process: set up, enrolled, started, restarted, probed, ended. Tells the
 * kubelet when its condition changed; writes no objects.
 */
import { rm } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import type { Clock } from '../../base/clock.ts';
import { asMeshError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { podNetns } from '../layout.ts';
import { pendingPod } from '../plan/pod-status.ts';
import type { PodCondition } from '../plan/pod-status.ts';
import type { Environment } from '../plan/pod-files.ts';
import { afterExit, noRestarts, restartDelayMs, shouldRestart } from '../plan/restart.ts';
import type { RestartCount } from '../plan/restart.ts';
import { writePodRecord } from '../pod-record.ts';
import { killCgroup, removeCgroup } from '../system/cgroup.ts';
import { deleteNamespaces } from '../system/netns.ts';
import type { ProcessRef } from '../system/process.ts';
import { startContainer } from './container.ts';
import type { ContainerExit, RunningContainer } from './container.ts';
import { waitUntilEnrolled } from './enrolment.ts';
import type { EnrolmentGate } from './enrolment.ts';
import { makePodNetwork } from './pod-network.ts';
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
  #condition: PodCondition = pendingPod;
  #restarts: RestartCount = noRestarts;
  #container: RunningContainer | undefined;
  /** When the pod must be gone at last, ms since the epoch; Infinity while nobody wants it to end. */
  #deadline = Number.POSITIVE_INFINITY;
  #cancelKill: () => void = () => {};
  #gone = false;

  constructor(place: PodPlace, deps: PodRunnerDeps) {
    this.#place = place;
    this.#deps = deps;
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
    const signal = this.#stopping.signal;
    try {
      const holder = await this.#deps.setUpSlot(() => makePodNetwork(this.#place));
      await writePodRecord(this.#place.paths, { uid: this.#place.uid, holder });
      const { gate, clock } = this.#deps;
      const { uid } = this.#place;
      if (gate !== undefined) await waitUntilEnrolled({ gate, uid, clock, signal });
      await this.#runContainer(holder);
    } catch (thrown) {
      this.#failed(thrown);
    }
    await this.#terminated();
    await this.#cleanUp();
  }

  #failed(thrown: unknown): void {
    if (this.#stopping.signal.aborted) return;
    const error = asMeshError(thrown);
    const hint = error.hint === undefined ? '' : ` (${error.hint})`;
    this.#deps.log.error({ pod: this.#place.pod.metadata.name, code: error.code }, error.message);
    this.#become({ phase: 'Failed', ready: false, reason: error.code, message: `${error.message}${hint}` });
  }

  /** Starts the command again and again, as the restart policy says, until the pod is to end. */
  async #runContainer(holder: ProcessRef): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      const { pod, cgroup, paths } = this.#place;
      const { environment } = this.#deps;
      this.#container = await startContainer({ pod, holder, cgroup, paths, environment });
      if (signal.aborted) this.#container?.signal('SIGTERM');
      const stopProbe = this.#startProbe();
      if (this.#container === undefined) return;
      const exit = await this.#container.exited;
      stopProbe();
      this.#container = undefined;
      if (signal.aborted || !(await this.#mayRestart(exit))) return;
    }
  }

  /** Without a probe a pod is ready when it runs. */
  #startProbe(): () => void {
    const { pod } = this.#place;
    const probe = pod.spec.containers[0]?.readinessProbe;
    this.#become({ phase: 'Running', ready: probe === undefined, reason: '', message: '' });
    if (probe === undefined) return () => {};
    return watchReadiness({
      probe,
      check: () => checkProbe(probe, pod),
      clock: this.#deps.clock,
      onChange: (ready) => this.#become({ ready }),
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
      await killCgroup(this.#place.cgroup);
      await removeCgroup(this.#place.cgroup);
      await deleteNamespaces([podNetns(this.#place.uid)]);
      await rm(this.#place.paths.dir, { recursive: true, force: true });
    } catch (thrown) {
      this.#deps.log.error({ pod: this.#place.pod.metadata.name }, asMeshError(thrown).message);
    }
    this.#gone = true;
    this.#deps.onChange();
  }
}
