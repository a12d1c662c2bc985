/**
 * Feeds the mesh store: changes of a source's objects, translated, change its state. Keeps the list of everything
 * that is wrong with them, for `status`; each problem is logged once when it appears.
 */
import type { Logger } from '../base/log.ts';
import type { MeshChange, MeshConfig } from '../model/mesh.ts';
import { formatProblem, type Problem } from './problem.ts';
import type { ObjectChange, ObjectSource, SourceStatus } from './source.ts';
import { Translator } from './translate/translator.ts';

export interface MeshSourceDeps {
  readonly source: ObjectSource;
  /** The store's writing end. */
  readonly store: { apply(change: MeshChange): void };
  readonly log: Logger;
}

export class MeshSource {
  readonly #deps: MeshSourceDeps;
  readonly #translator: Translator;
  #parsing: readonly Problem[] = [];
  #translation: readonly Problem[] = [];
  #logged: ReadonlySet<string> = new Set();

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

  #takeChange(change: ObjectChange): void {
    this.#deps.store.apply(this.#translator.apply(change));
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
