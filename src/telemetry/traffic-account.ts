/**
 * The one place a connection is told to: what the ztunnel's `account` layer calls. A completed record becomes one log
 * line, one set of metrics, one entry in the registry and a count in a pair; nothing else feeds any of them.
 */
import type { ConnectionRecord } from '../model/connection.ts';
import type { AccessLog } from './access-log.ts';
import type { ConnectionRegistry, LiveConnection } from './connection-registry.ts';
import type { PairTable } from './flight/pairs.ts';
import type { PolicyMetrics } from './policy-metrics.ts';
import type { TrafficMetrics } from './traffic-metrics.ts';

export interface TrafficAccount {
  /** When a connection is established, with its peers known. Not for connections that fail before. */
  opened(connection: LiveConnection): void;
  /** Exactly once for every connection, `opened` or not. */
  completed(record: ConnectionRecord): void;
}

export interface TrafficAccountDeps {
  readonly accessLog: AccessLog;
  readonly registry: ConnectionRegistry;
  readonly metrics: TrafficMetrics;
  readonly policies: PolicyMetrics;
  readonly pairs: PairTable;
  /** Hears of all; tells everybody of those that were refused. */
  readonly events: { completed(record: ConnectionRecord): void };
}

export function trafficAccount({
  accessLog,
  registry,
  metrics,
  policies,
  pairs,
  events,
}: TrafficAccountDeps): TrafficAccount {
  return {
    opened(connection) {
      registry.opened(connection);
      const summary = connection.summary();
      metrics.opened(connection, summary);
      accessLog.opened(summary);
    },
    completed(record) {
      metrics.completed(record);
      policies.completed(record);
      pairs.completed(record);
      registry.completed(record);
      accessLog.completed(record);
      events.completed(record);
    },
  };
}
