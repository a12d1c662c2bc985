/** Counts what policies decided, per policy; the number of policies counted apart is bounded, because people make them. */
import type { ConnectionRecord, Verdict } from '../model/connection.ts';
import type { PolicyKey } from '../model/policy.ts';
import type { Metrics } from './metrics.ts';

const countedApart = 200;

type Decision = 'denied' | 'audited' | 'dry-run-denied' | 'dry-run-allowed';

export class PolicyMetrics {
  readonly #metrics: Pick<Metrics, 'count'>;
  readonly #known = new Set<PolicyKey>();

  constructor(metrics: Pick<Metrics, 'count'>) {
    this.#metrics = metrics;
  }

  /** Allowed connections are counted in Istio's metrics, and not here once more. */
  completed({ verdict }: Pick<ConnectionRecord, 'verdict'>): void {
    if (verdict === undefined) return;
    const { allowed, policy, audit, dryRun } = verdict;
    if (!allowed) this.#count(policy, 'denied');
    if (audit !== undefined) this.#count(audit, 'audited');
    if (dryRun !== undefined)
      this.#count(dryRun.policy, dryRun.allowed ? 'dry-run-allowed' : 'dry-run-denied');
  }

  #count(policy: Verdict['policy'], decision: Decision): void {
    this.#metrics.count('mesh_policy_decisions_total', { policy: this.#label(policy), decision });
  }

  #label(policy: Verdict['policy']): string {
    if (policy === undefined) return 'none';
    if (this.#known.size < countedApart) this.#known.add(policy);
    return this.#known.has(policy) ? policy : 'other';
  }
}
