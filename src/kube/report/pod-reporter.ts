/**
 * Writes what a node has to say of its pods, one pod after the other, slowly enough for an API server that has 5 000
 * nodes. A newer report of a pod replaces one that waits. While the API server is away everything waits; what does
 * not fit is reported again by whoever reported it, who compares what is with what should be.
 */
import type { Clock } from '../../base/clock.ts';
import { asMeshError, type MeshError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import type { WorkloadUid } from '../../model/mesh.ts';
import { retryDelayMs } from '../api/retry.ts';
import type { KubeClient } from '../client/kube-client.ts';
import { mergeObject } from '../client/kube-objects.ts';
import { resources } from '../client/resources.ts';
import { PodEvents } from './pod-events.ts';
import { annotationPatch, type ReportedPod, type Trouble } from './pod-report.ts';

export interface PodReport {
  /** What the annotation should say; undefined: it is right as it is. */
  readonly redirected: boolean | undefined;
  readonly trouble: Trouble | undefined;
}

export interface PodReporterDeps {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
  readonly node: string;
}

type Kind = 'annotation' | 'event';

/** Why nothing, or nothing of a kind, can be said in the API now. */
export interface ReportFailure {
  readonly error: MeshError;
  /** Of the first in a row, in milliseconds since the epoch. */
  readonly since: number;
}

interface Entry extends PodReport {
  readonly pod: ReportedPod;
}

/** Pods of one node; more than any node has. */
const maxWaiting = 2048;
/** Between two pods. */
const paceMs = 100;
/** It takes as long until what was written is seen; somebody who removes it again is not fought any faster. */
const writtenHoldsMs = 30_000;
/** A permission that is missing is given back by people. */
const forbiddenHoldsMs = 30_000;
const retryLimits = { minMs: 1_000, maxMs: 60_000 };

export class PodReporter {
  readonly #deps: PodReporterDeps;
  readonly #events: PodEvents;
  /** In the order of their first report. */
  readonly #waiting = new Map<WorkloadUid, Entry>();
  readonly #written = new Map<WorkloadUid, { readonly redirected: boolean; readonly at: number }>();
  #isBusy = false;
  #isStopped = false;
  #failures = 0;
  #failure: ReportFailure | undefined;
  /** What the API server forbids: it holds up nothing else, and is tried again now and then. */
  readonly #forbidden = new Map<Kind, ReportFailure & { readonly until: number }>();
  #cancelPause: (() => void) | undefined;

  constructor(deps: PodReporterDeps) {
    this.#deps = deps;
    this.#events = new PodEvents(deps);
  }

  /** What keeps annotations or Events from being written, while something does. */
  get failures(): readonly ReportFailure[] {
    return [...(this.#failure === undefined ? [] : [this.#failure]), ...this.#forbidden.values()];
  }

  /** Returns at once. May be called as often as one likes: what was written lately is not written again. */
  report(pod: ReportedPod, report: PodReport): void {
    if (this.#isStopped) return;
    const entry = this.#unwritten({ pod, ...report });
    if (entry === undefined) this.#waiting.delete(pod.uid);
    else if (this.#waiting.size < maxWaiting || this.#waiting.has(pod.uid)) this.#waiting.set(pod.uid, entry);
    void this.#workOff();
  }

  /** The pod is gone. */
  forget(uid: WorkloadUid): void {
    this.#waiting.delete(uid);
    this.#written.delete(uid);
    this.#events.forget(uid);
  }

  /** What waits is not written any more: the next node program will see that it is missing. */
  stop(): void {
    this.#isStopped = true;
    this.#waiting.clear();
    this.#cancelPause?.();
  }

  /** What of it was not written lately; undefined: nothing. */
  #unwritten({ pod, redirected, trouble }: Entry): Entry | undefined {
    const written = this.#written.get(pod.uid);
    const holds = written !== undefined && this.#deps.clock.now() - written.at < writtenHoldsMs;
    const entry = {
      pod,
      redirected:
        (holds && written.redirected === redirected) || this.#isHeld('annotation') ? undefined : redirected,
      trouble:
        trouble === undefined || !this.#events.isNews(pod, trouble) || this.#isHeld('event')
          ? undefined
          : trouble,
    };
    return entry.redirected === undefined && entry.trouble === undefined ? undefined : entry;
  }

  #isHeld(kind: Kind): boolean {
    return this.#deps.clock.now() < (this.#forbidden.get(kind)?.until ?? 0);
  }

  /** The next pod of which something is to be written: it may have been, since it began to wait. */
  #takeNext(): Entry | undefined {
    for (const [uid, waiting] of this.#waiting) {
      this.#waiting.delete(uid);
      const entry = this.#unwritten(waiting);
      if (entry !== undefined) return entry;
    }
    return undefined;
  }

  async #workOff(): Promise<void> {
    const entry = this.#isBusy || this.#isStopped ? undefined : this.#takeNext();
    if (entry === undefined) return;
    this.#isBusy = true;
    const pauseMs = await this.#attempt(entry);
    if (this.#isStopped) return;
    this.#cancelPause = this.#deps.clock.after(pauseMs, () => {
      this.#isBusy = false;
      void this.#workOff();
    });
  }

  /** How long to pause afterwards. */
  async #attempt(entry: Entry): Promise<number> {
    const { pod, redirected, trouble } = entry;
    try {
      if (redirected !== undefined) {
        const written = await this.#permitted('annotation', () => this.#annotate(pod, redirected));
        if (written) this.#noteWritten({ pod, redirected, trouble: undefined });
      }
      if (trouble !== undefined) {
        const told = await this.#permitted('event', () => this.#events.tell(pod, trouble));
        if (told) this.#noteWritten({ pod, redirected: undefined, trouble });
      }
      this.#failures = 0;
      this.#failure = undefined;
      return paceMs;
    } catch (thrown) {
      return this.#failed(entry, asMeshError(thrown));
    }
  }

  /** False if it is forbidden: then nothing of its kind is tried for a while. */
  async #permitted(kind: Kind, write: () => Promise<void>): Promise<boolean> {
    try {
      await write();
      if (this.#forbidden.delete(kind)) this.#deps.log.info({ kind }, 'the API server permits it again');
      return true;
    } catch (thrown) {
      const error = asMeshError(thrown);
      if (error.code !== 'API_FORBIDDEN') throw error;
      this.#noteForbidden(kind, error);
      return false;
    }
  }

  #noteForbidden(kind: Kind, error: MeshError): void {
    const { clock, log } = this.#deps;
    const known = this.#forbidden.get(kind);
    if (known === undefined) log.warn({ kind, code: error.code, hint: error.hint }, error.message);
    const since = known?.since ?? clock.now();
    this.#forbidden.set(kind, { error, since, until: clock.now() + forbiddenHoldsMs });
  }

  async #annotate(pod: ReportedPod, redirected: boolean): Promise<void> {
    await mergeObject(this.#deps.client, resources.pods, pod, annotationPatch(pod, redirected), 'status');
  }

  #noteWritten({ pod, redirected, trouble }: Entry): void {
    if (redirected !== undefined) this.#written.set(pod.uid, { redirected, at: this.#deps.clock.now() });
    if (trouble !== undefined) this.#events.note(pod, trouble);
  }

  #failed(entry: Entry, error: MeshError): number {
    const { log, clock } = this.#deps;
    const { namespace, name, uid } = entry.pod;
    const fields = { namespace, name, code: error.code, error: error.message, hint: error.hint };
    switch (error.code) {
      case 'NOT_FOUND':
      case 'CONFLICT':
        log.debug(fields, 'the pod is gone, and what was to be said of it');
        this.#noteWritten(entry);
        return paceMs;
      case 'INVALID_MANIFEST':
      case 'INVALID_ARGUMENT':
        log.warn(fields, 'the API server does not take what was to be said of a pod');
        this.#noteWritten(entry);
        return paceMs;
      default:
        this.#failures += 1;
        if (error.message !== this.#failure?.error.message) {
          log.warn(fields, 'annotation and Events of pods have to wait');
        }
        this.#failure = { error, since: this.#failure?.since ?? clock.now() };
        if (!this.#waiting.has(uid)) this.#waiting.set(uid, entry);
        return retryDelayMs(this.#failures, clock.random(), retryLimits);
    }
  }
}
