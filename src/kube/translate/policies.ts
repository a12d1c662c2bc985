/** All AuthorizationPolicies → policies, change by change; the last good version of each stays while it is invalid. */
import { type AuthorizationPolicy, type MeshConfig, type PolicyKey, policyKey } from '../../model/mesh.ts';
import type { AuthorizationPolicyObject, SourcedObject } from '../objects.ts';
import type { Problem } from '../problem.ts';
import { translatePolicy } from './authorization-policy.ts';
import { guarded } from './guarded.ts';

export class Policies {
  readonly #config: MeshConfig;
  readonly #lastGood = new Map<PolicyKey, AuthorizationPolicy>();
  readonly #faults = new Map<PolicyKey, readonly Problem[]>();
  readonly #changes = new Map<PolicyKey, AuthorizationPolicy | undefined>();

  constructor(config: MeshConfig) {
    this.#config = config;
  }

  get problems(): readonly Problem[] {
    return [...this.#faults.values()].flat();
  }

  set(sourced: SourcedObject<AuthorizationPolicyObject>): void {
    const { namespace, name } = sourced.object.metadata;
    const key = policyKey(namespace, name);
    const { policy, valid, problems } = guarded(
      sourced,
      () => translatePolicy(sourced, this.#config),
      (bug) => ({ policy: undefined, valid: false, problems: [bug] }),
    );
    if (valid && policy !== undefined) this.#lastGood.set(key, policy);
    if (problems.length === 0) this.#faults.delete(key);
    else this.#faults.set(key, problems);
    this.#changes.set(key, this.#lastGood.get(key) ?? policy);
  }

  delete(namespace: string, name: string): void {
    const key = policyKey(namespace, name);
    this.#lastGood.delete(key);
    this.#faults.delete(key);
    this.#changes.set(key, undefined);
  }

  /** What changed since the last call. */
  takeChanges(): ReadonlyMap<PolicyKey, AuthorizationPolicy | undefined> {
    const changes = new Map(this.#changes);
    this.#changes.clear();
    return changes;
  }
}
