import { describe, expect, it } from '@jest/globals';
import { policyKey } from '../../../src/model/policy.ts';
import { Metrics } from '../../../src/telemetry/metrics.ts';
import { PolicyMetrics } from '../../../src/telemetry/policy-metrics.ts';

const decided = (allowed: boolean, name: string | undefined, more = {}) => ({
  verdict: { allowed, policy: name === undefined ? undefined : policyKey('shop', name), reason: '', ...more },
});

describe('decisions of policies', () => {
  it('are counted by the policy that decided', async () => {
    const metrics = new Metrics();
    const policies = new PolicyMetrics(metrics);
    policies.completed(decided(false, 'deny'));
    policies.completed(decided(false, 'deny'));
    policies.completed(decided(false, undefined));
    policies.completed({ ...decided(true, 'allow', { audit: policyKey('shop', 'audit') }), connections: 50 });
    policies.completed(decided(true, 'allow', { dryRun: decided(false, 'next').verdict }));
    policies.completed(decided(false, 'deny', { dryRun: decided(true, 'next').verdict }));
    policies.completed({ verdict: undefined });
    const lines = (await metrics.render()).match(/^mesh_policy.*$/gm);
    expect(lines).toEqual([
      'mesh_policy_decisions_total{policy="shop/deny",decision="denied"} 3',
      'mesh_policy_decisions_total{policy="none",decision="denied"} 1',
      'mesh_policy_decisions_total{policy="shop/audit",decision="audited"} 50',
      'mesh_policy_decisions_total{policy="shop/next",decision="dry-run-denied"} 1',
      'mesh_policy_decisions_total{policy="shop/next",decision="dry-run-allowed"} 1',
    ]);
  });

  it('take a bounded number of series, however many policies there are', async () => {
    const metrics = new Metrics();
    const policies = new PolicyMetrics(metrics);
    for (let i = 0; i < 1000; i++) policies.completed(decided(false, `p${i}`));
    const lines = (await metrics.render()).match(/^mesh_policy.*$/gm) ?? [];
    expect(lines).toHaveLength(201);
    expect(lines.at(-1)).toBe('mesh_policy_decisions_total{policy="other",decision="denied"} 800');
  });
});
