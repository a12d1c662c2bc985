/**
 * What the kernel refused because of a NamespaceAccess: a log line, an entry in the list of connections and a count
 * each. No connection ever was, so Istio's metrics of connections know nothing of it.
 */
import type { ConnectionRecord } from '../model/connection.ts';
import type { PolicyKey } from '../model/policy.ts';
import type { AccessLog } from './access-log.ts';
import type { ConnectionRegistry } from './connection-registry.ts';
import type { Metrics } from './metrics.ts';

/** Policies counted apart; what more there are is `other`. */
const maxPolicies = 256;

export interface DenialAccount {
  refused(record: ConnectionRecord): void;
  /** Refusals of which nothing is known but how many they are. */
  untold(count: number): void;
}

export function denialAccount({
  accessLog,
  registry,
  metrics,
  events,
}: {
  readonly accessLog: Pick<AccessLog, 'completed'>;
  readonly registry: Pick<ConnectionRegistry, 'completed'>;
  readonly metrics: Pick<Metrics, 'count'>;
  readonly events: { completed(record: ConnectionRecord): void };
}): DenialAccount {
  const policies = new Set<PolicyKey>();
  const labelOf = (policy: PolicyKey | undefined): string => {
    if (policy === undefined) return 'unknown';
    if (policies.size < maxPolicies) policies.add(policy);
    return policies.has(policy) ? policy : 'other';
  };
  return {
    refused(record) {
      const { transport = 'tcp', verdict } = record;
      metrics.count('mesh_egress_denied_total', { protocol: transport, policy: labelOf(verdict?.policy) });
      registry.completed(record);
      accessLog.completed(record);
      events.completed(record);
    },
    untold(count) {
      metrics.count('mesh_egress_denied_total', { protocol: 'any', policy: 'untold' }, count);
    },
  };
}
