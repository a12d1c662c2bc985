/**
 * All objects of a kind that restricts who may talk to whom, translated change by change. The last good version of
 * each stays in force while it is invalid; if there is none, its strict reading is.
 */
import type { MeshConfig } from '../../model/mesh.ts';
import type { PolicyKey } from '../../model/policy.ts';
import type { KubeObject, SourcedObject } from '../objects.ts';
import type { Problem } from '../problem.ts';
import { guarded } from './guarded.ts';

export interface Translated<T> {
  /** The object's if it is `valid`, else its strict reading. */
  readonly value: T;
  /** False: some of it could not be read, and `problems` has an error. */
  readonly valid: boolean;
  readonly problems: readonly Problem[];
}

export interface Translation<Object extends KubeObject, T> {
  translate(sourced: SourcedObject<Object>, config: MeshConfig): Translated<T>;
  /** Of an object that cannot be translated at all. */
  strictest(object: Object, config: MeshConfig): T;
}

export class LastGood<Object extends KubeObject, T extends { readonly key: PolicyKey }> {
  readonly #translation: Translation<Object, T>;
  readonly #config: MeshConfig;
  readonly #values = new Map<PolicyKey, T>();
  readonly #faults = new Map<PolicyKey, readonly Problem[]>();
  readonly #changes = new Map<PolicyKey, T | undefined>();

  constructor(translation: Translation<Object, T>, config: MeshConfig) {
    this.#translation = translation;
    this.#config = config;
  }

  get problems(): readonly Problem[] {
    return [...this.#faults.values()].flat();
  }

  set(sourced: SourcedObject<Object>): void {
    const { value, valid, problems } = guarded<Translated<T>>(
      sourced,
      () => this.#translation.translate(sourced, this.#config),
      (bug) => ({
        value: this.#translation.strictest(sourced.object, this.#config),
        valid: false,
        problems: [bug],
      }),
    );
    const { key } = value;
    if (valid) this.#values.set(key, value);
    if (problems.length === 0) this.#faults.delete(key);
    else this.#faults.set(key, problems);
    this.#changes.set(key, this.#values.get(key) ?? value);
  }

  delete(key: PolicyKey): void {
    this.#values.delete(key);
    this.#faults.delete(key);
    this.#changes.set(key, undefined);
  }

  /** What changed since the last call. */
  takeChanges(): ReadonlyMap<PolicyKey, T | undefined> {
    const changes = new Map(this.#changes);
    this.#changes.clear();
    return changes;
  }
}
