/** Has refused connections told as Kubernetes Events, where there is an API server. */
import { HttpKubeClient } from '../../kube/client/kube-client.ts';
import type { ApiServer } from '../../kube/client/kube-client.ts';
import { DenialReporter } from '../../kube/report/denial-reporter.ts';
import type { SourceCondition } from '../../kube/source.ts';
import type { ConnectionRecord } from '../../model/connection.ts';
import { countForbidden, notingClient } from '../forbidden.ts';
import type { Foundation } from './parts.ts';

export interface DenialEvents {
  completed(record: ConnectionRecord): void;
  /** What keeps them from being written, as of the moment of asking. */
  conditions(): readonly SourceCondition[];
}

/** @param server undefined: the objects are nobody's, so nobody is told */
export function startDenialEvents(
  { config, clock, log, version, cleanup, metrics }: Foundation,
  server: ApiServer | undefined,
): DenialEvents {
  if (server === undefined) return { completed: () => {}, conditions: () => [] };
  const requests = new HttpKubeClient(server, { userAgent: `mesh-ebpf/${version}` });
  const reporter = new DenialReporter({
    client: notingClient(requests, countForbidden(metrics)),
    clock,
    log: log.child({ scope: 'report' }),
    node: config.nodeName,
    counted: (result) => metrics.count('mesh_denial_events_total', { result }),
  });
  cleanup.defer(() => {
    reporter.stop();
    requests.close();
  });
  return {
    completed: (record) => reporter.completed(record),
    conditions: () =>
      reporter.failures.map((failure) => ({ subject: 'Events of refused connections', ...failure })),
  };
}
