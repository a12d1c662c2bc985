/** All NamespaceAccess objects → the model's, change by change; the last good version of each stays while it is invalid. */
import { accessKey, type NamespaceAccess } from '../../model/access.ts';
import type { PolicyKey } from '../../model/policy.ts';
import { type NamespaceAccessObject, type SourcedObject } from '../objects.ts';
import type { Problem } from '../problem.ts';
import { denyingSpec } from '../resources/namespace-access.ts';
import { guarded } from './guarded.ts';
import { translateAccess } from './namespace-access.ts';

export class Accesses {
  readonly #lastGood = new Map<PolicyKey, NamespaceAccess>();
  readonly #faults = new Map<PolicyKey, readonly Problem[]>();
  readonly #changes = new Map<PolicyKey, NamespaceAccess | undefined>();

  get problems(): readonly Problem[] {
    return [...this.#faults.values()].flat();
  }

  set(sourced: SourcedObject<NamespaceAccessObject>): void {
    const { namespace, name } = sourced.object.metadata;
    const key = accessKey(namespace, name);
    const { access, valid, problems } = guarded(
      sourced,
      () => translateAccess(sourced),
      (bug) => ({
        ...translateAccess({ ...sourced, object: { ...sourced.object, spec: denyingSpec } }),
        valid: false,
        problems: [bug],
      }),
    );
    if (valid) this.#lastGood.set(key, access);
    if (problems.length === 0) this.#faults.delete(key);
    else this.#faults.set(key, problems);
    this.#changes.set(key, this.#lastGood.get(key) ?? access);
  }

  delete(namespace: string, name: string): void {
    const key = accessKey(namespace, name);
    this.#lastGood.delete(key);
    this.#faults.delete(key);
    this.#changes.set(key, undefined);
  }

  /** What changed since the last call. */
  takeChanges(): ReadonlyMap<PolicyKey, NamespaceAccess | undefined> {
    const changes = new Map(this.#changes);
    this.#changes.clear();
    return changes;
  }
}
