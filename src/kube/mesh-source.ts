/**
 * Feeds the mesh store: objects from a source, translated, replace the store's state. Keeps the list of everything
 * that is wrong with them, for `status`; each problem is logged once when it appears.
 */
import type { Logger } from '../base/log.ts';
import type { MeshConfig, MeshState } from '../model/mesh.ts';
import type { PendingWorkload, PodLookup } from '../model/pod-lookup.ts';
import type { SourcedObject } from './objects.ts';
import { formatProblem, type Problem } from './problem.ts';
import type { ObjectSource } from './source.ts';
import { pendingPod } from './translate/pending-pod.ts';
import { Translator } from './translate/translator.ts';

export interface MeshSourceDeps {
  readonly source: ObjectSource;
  /** The store's writing end. */
  readonly store: { replace(state: MeshState): void };
  readonly log: Logger;
}

export class MeshSource implements PodLookup {
  readonly #deps: MeshSourceDeps;
  readonly #config: MeshConfig;
  readonly #translator: Translator;
  #objects: readonly SourcedObject[] = [];
  #parsing: readonly Problem[] = [];
  #translation: readonly Problem[] = [];
  #logged: ReadonlySet<string> = new Set();

  constructor(deps: MeshSourceDeps, config: MeshConfig) {
    this.#deps = deps;
    this.#config = config;
    this.#translator = new Translator(config);
  }

  /** Everything that is wrong now: what the source could not read, then what could not be translated. */
  get problems(): readonly Problem[] {
    return [...this.#parsing, ...this.#translation];
  }

  /** Resolves when the store holds the first state. @throws MeshError if the source has nothing to read from. */
  start(): Promise<void> {
    return this.#deps.source.start(
      (objects) => this.#takeObjects(objects),
      (errors) => this.#takeErrors(errors),
    );
  }

  stop(): void {
    this.#deps.source.stop();
  }

  /** From what was read last: the directory has no one to ask. */
  findPod(namespace: string, name: string): Promise<PendingWorkload | undefined> {
    return Promise.resolve(pendingPod(this.#objects, namespace, name, this.#config));
  }

  #takeObjects(objects: readonly SourcedObject[]): void {
    this.#objects = objects;
    const { state, problems } = this.#translator.translate(objects);
    this.#translation = problems;
    this.#deps.store.replace(state);
    this.#logNews();
  }

  #takeErrors(errors: readonly Problem[]): void {
    this.#parsing = errors;
    this.#logNews();
  }

  #logNews(): void {
    const { log } = this.#deps;
    const current = new Set(this.problems.map(formatProblem));
    for (const problem of current) {
      if (!this.#logged.has(problem)) log.warn({}, problem);
    }
    if (current.size === 0 && this.#logged.size > 0) log.info({}, 'all manifests are in order again');
    this.#logged = current;
  }
}
