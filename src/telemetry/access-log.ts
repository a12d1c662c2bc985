/**
 * One line per connection, with the field names and messages of Istio's ztunnel so that existing log queries work.
 * Called once for each completed record. Addresses and names come from peers; the JSON encoder escapes them.
 */
import { formatSocketAddress } from '../base/ip.ts';
import type { Logger } from '../base/log.ts';
import type { ConnectionRecord, ConnectionSummary } from '../model/connection.ts';
import type { MeshConfig, Service, ServiceKey } from '../model/mesh.ts';
import type { FailureThrottle } from './failure-throttle.ts';
import { failedEarly, outcomeOf } from './outcome.ts';

/** The logger leaves out what is undefined. */
type LineFields = Readonly<Record<string, string | number | boolean | undefined>>;

export interface AccessLogDeps {
  readonly log: Logger;
  readonly throttle: FailureThrottle;
  readonly config: Pick<MeshConfig, 'clusterId'>;
  /** The Service behind a key, for its hostname. */
  readonly service: (key: ServiceKey) => Pick<Service, 'hostname'> | undefined;
}

export class AccessLog {
  readonly #deps: AccessLogDeps;

  constructor(deps: AccessLogDeps) {
    this.#deps = deps;
  }

  /** For those who debug: a line when a connection is established. */
  opened(summary: ConnectionSummary): void {
    const { log } = this.#deps;
    if (log.isLevelEnabled('debug')) log.debug(this.#peers(summary), 'connection opened');
  }

  /** The line of a completed connection. Of a storm of equal failures only the first few are written. */
  completed(record: ConnectionRecord): void {
    const outcome = outcomeOf(record);
    const { write, suppressed } = this.#deps.throttle.admit(record);
    if (!write) return;
    const fields = this.#recordFields(record, suppressed);
    const { log } = this.#deps;
    if (failedEarly(record)) log.warn(fields, 'connection failed');
    else if (outcome === 'failed') log.error(fields, 'connection complete');
    else if (outcome === 'denied') log.warn(fields, 'connection complete');
    else log.info(fields, 'connection complete');
  }

  #recordFields(record: ConnectionRecord, suppressed: number): LineFields {
    const outbound = record.direction === 'outbound';
    const { error } = record;
    return {
      ...this.#peers(record),
      // From the reporting side's point of view, unlike the metrics (see traffic-metrics.ts).
      bytes_sent: outbound ? record.bytesSent : record.bytesReceived,
      bytes_recv: outbound ? record.bytesReceived : record.bytesSent,
      duration: `${Math.round(record.durationMs)}ms`,
      ...(record.kernel !== undefined && {
        rtt: record.kernel.rttMs === undefined ? undefined : `${record.kernel.rttMs}ms`,
        retransmits: record.kernel.retransmits,
        accelerated: record.accelerated === true || undefined,
      }),
      ...verdictFields(record),
      ...(error !== undefined && {
        error: error.message,
        code: error.code,
        hop: error.hop,
        hint: error.hint,
      }),
      connections: record.connections,
      ...(suppressed > 0 && { suppressed }),
    };
  }

  // Literal keys, and undefined for what is not known: this runs for every connection.
  #peers(summary: ConnectionSummary): LineFields {
    const { source, destination } = summary;
    const { clusterId } = this.#deps.config;
    return {
      connection: summary.id,
      'src.addr': formatSocketAddress(source.address),
      'src.workload': source.workload?.name,
      'src.namespace': source.workload?.namespace,
      'src.identity': source.identity,
      'src.cluster': source.workload && clusterId,
      'dst.addr': formatSocketAddress(destination.address),
      'dst.hbone_addr': summary.hboneAddress && formatSocketAddress(summary.hboneAddress),
      'dst.service': summary.service && (this.#deps.service(summary.service)?.hostname ?? summary.service),
      'dst.workload': destination.workload?.name,
      'dst.namespace': destination.workload?.namespace,
      'dst.identity': destination.identity,
      'dst.cluster': destination.workload && clusterId,
      direction: summary.direction,
      protocol: summary.transport,
      path: isWithinNode(summary) ? summary.path : undefined,
      trace_id: summary.traceId,
    };
  }
}

/** Istio's has no word for it, so only what Istio's does not have is named. */
const isWithinNode = ({ path }: ConnectionSummary): boolean => path === 'kernel' || path === 'local';

/** Only where a policy had a say. */
function verdictFields({ verdict }: ConnectionSummary): LineFields {
  if (verdict === undefined) return {};
  const { allowed, policy, reason, audit, dryRun } = verdict;
  return {
    ...(allowed && policy === undefined ? {} : { 'verdict.policy': policy, 'verdict.reason': reason }),
    ...(audit !== undefined && { 'verdict.audit': audit }),
    ...(dryRun !== undefined && {
      'verdict.dry_run': dryRun.allowed ? 'allowed' : 'denied',
      'verdict.dry_run.policy': dryRun.policy,
      'verdict.dry_run.reason': dryRun.reason,
    }),
  };
}
