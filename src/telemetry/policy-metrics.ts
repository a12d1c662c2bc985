/** Counts what policies decided, per policy; the number of policies counted apart is bounded, because people make them. */
import type { ConnectionRecord, Verdict } from '../model/connection.ts';
import type { PolicyKey } from '../model/policy.ts';
import type { Metrics } from './metrics.ts';
import { countOf } from './outcome.ts';

const countedApart = 200;

type Decision = 'denied' | 'audited' | 'dry-run-denied' | 'dry-run-allowed';

export class PolicyMetrics {
  readonly #metrics: Pick<Metrics, 'count'>;
  readonly #known = new Set<PolicyKey>();

  constructor(metrics: Pick<Metrics, 'count'>) {
    this.#metrics = metrics;
  }

  /** Allowed connections are counted in Istio's metrics, and not here once more. */
  completed(record: Pick<ConnectionRecord, 'verdict' | 'connections'>): void {
    const { verdict } = record;
    if (verdict === undefined) return;
    const { allowed, policy, audit, dryRun } = verdict;
    const count = countOf(record);
    if (!allowed) this.#count(policy, 'denied', count);
    if (audit !== undefined) this.#count(audit, 'audited', count);
    if (dryRun !== undefined)
      this.#count(dryRun.policy, dryRun.allowed ? 'dry-run-allowed' : 'dry-run-denied', count);
  }

  #count(policy: Verdict['policy'], decision: Decision, count: number): void {
    const labels = { policy: this.#label(policy), decision };
    this.#metrics.count('mesh_policy_decisions_total', labels, count);
  }

  #label(policy: Verdict['policy']): string {
    if (policy === undefined) return 'none';
    if (this.#known.size < countedApart) this.#known.add(policy);
    return this.#known.has(policy) ? policy : 'other';
  }
}
