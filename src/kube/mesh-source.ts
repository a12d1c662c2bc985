/**
 * Feeds the mesh store: changes of a source's objects, translated, change its state. Keeps the list of everything
 * that is wrong with them, for `status`; each problem is logged once when it appears.
 */
import type { Logger } from '../base/log.ts';
import type { MeshChange, MeshConfig } from '../model/mesh.ts';
import type { PendingWorkload, PodLookup } from '../model/pod-lookup.ts';
import { formatProblem, type Problem } from './problem.ts';
import type { ObjectChange, ObjectSource, SourceStatus } from './source.ts';
import { Translator } from './translate/translator.ts';

export interface MeshSourceDeps {
  readonly source: ObjectSource;
  /** The store's writing end. */
  readonly store: { apply(change: MeshChange): void };
  readonly log: Logger;
}

export class MeshSource implements PodLookup {
  readonly #deps: MeshSourceDeps;
  readonly #translator: Translator;
  #parsing: readonly Problem[] = [];
  #translation: readonly Problem[] = [];
  #logged: ReadonlySet<string> = new Set();
  /** Called at the next change. */
  readonly #waiting = new Set<() => void>();

  constructor(deps: MeshSourceDeps, config: MeshConfig) {
    this.#deps = deps;
    this.#translator = new Translator(config);
  }

  /** Everything that is wrong now: what the source could not read, then what could not be translated. */
  get problems(): readonly Problem[] {
    return [...this.#parsing, ...this.#translation];
  }

  /** Whether the source is up to date, and what keeps it from that. */
  status(): SourceStatus {
    return this.#deps.source.status();
  }

  /** Resolves when the store holds the first state. @throws MeshError if the source has nothing to read from. */
  start(): Promise<void> {
    return this.#deps.source.start({
      changed: (change) => this.#takeChange(change),
      faulty: (problems) => this.#takeFaults(problems),
    });
  }

  stop(): void {
    this.#deps.source.stop();
  }

  /**
   * The kubelet may know a pod some milliseconds before us: the same watch that brings it there brings it here, so we
   * wait for it, and need no permission to ask. Undefined when it has not come before `signal`.
   */
  async findPod(namespace: string, name: string, signal: AbortSignal): Promise<PendingWorkload | undefined> {
    for (;;) {
      const found = this.#translator.pendingPod(namespace, name);
      if (found !== undefined || signal.aborted) return found;
      await this.#nextChange(signal);
    }
  }

  #nextChange(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        this.#waiting.delete(done);
        signal.removeEventListener('abort', done);
        resolve();
      };
      this.#waiting.add(done);
      signal.addEventListener('abort', done);
    });
  }

  #takeChange(change: ObjectChange): void {
    this.#deps.store.apply(this.#translator.apply(change));
    this.#waiting.forEach((changed) => changed());
    const { problems } = this.#translator;
    if (sameItems(problems, this.#translation)) return;
    this.#translation = problems;
    this.#logNews();
  }

  #takeFaults(problems: readonly Problem[]): void {
    this.#parsing = problems;
    this.#logNews();
  }

  #logNews(): void {
    const { log } = this.#deps;
    const current = new Set(this.problems.map(formatProblem));
    for (const problem of current) {
      if (!this.#logged.has(problem)) log.warn({}, problem);
    }
    if (current.size === 0 && this.#logged.size > 0) log.info({}, 'all objects are in order again');
    this.#logged = current;
  }
}

const sameItems = (a: readonly unknown[], b: readonly unknown[]): boolean =>
  a.length === b.length && a.every((item, i) => item === b[i]);
