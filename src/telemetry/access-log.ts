/**
 * One line per connection, with the field names and messages of Istio's ztunnel so that existing log queries work.
 * Called once for each completed record. Addresses and names come from peers; the JSON encoder escapes them.
 */
import { formatSocketAddress } from '../base/ip.ts';
import type { Logger } from '../base/log.ts';
import type { ConnectionPeer, ConnectionRecord, ConnectionSummary } from '../model/connection.ts';
import type { MeshConfig, Service, ServiceKey } from '../model/mesh.ts';
import type { FailureThrottle } from './failure-throttle.ts';
import { failedEarly, outcomeOf } from './outcome.ts';

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
    this.#deps.log.debug(this.#peers(summary), 'connection opened');
  }

  /** The line of a completed connection. Of a storm of equal failures only the first few are written. */
  completed(record: ConnectionRecord): void {
    const outcome = outcomeOf(record);
    const admitted = this.#deps.throttle.admit(record);
    if (!admitted.write) return;
    const fields = {
      ...this.#fields(record),
      ...(admitted.suppressed > 0 && { suppressed: admitted.suppressed }),
    };
    const { log } = this.#deps;
    if (failedEarly(record)) log.warn(fields, 'connection failed');
    else if (outcome === 'failed') log.error(fields, 'connection complete');
    else if (outcome === 'denied') log.warn(fields, 'connection complete');
    else log.info(fields, 'connection complete');
  }

  #fields(record: ConnectionRecord): Record<string, unknown> {
    const outbound = record.direction === 'outbound';
    return {
      ...this.#peers(record),
      // From the reporting side's point of view, unlike the metrics (see traffic-metrics.ts).
      bytes_sent: outbound ? record.bytesSent : record.bytesReceived,
      bytes_recv: outbound ? record.bytesReceived : record.bytesSent,
      duration: `${Math.round(record.durationMs)}ms`,
      ...verdictFields(record),
      ...errorFields(record),
    };
  }

  #peers(summary: ConnectionSummary): Record<string, unknown> {
    const cluster = this.#deps.config.clusterId;
    const service = summary.service === undefined ? undefined : this.#deps.service(summary.service);
    return defined({
      connection: summary.id,
      ...peerFields('src', summary.source, cluster),
      ...peerFields('dst', summary.destination, cluster),
      'dst.hbone_addr': summary.hboneAddress && formatSocketAddress(summary.hboneAddress),
      'dst.service': service?.hostname ?? summary.service,
      direction: summary.direction,
      trace_id: summary.traceId,
    });
  }
}

function peerFields(side: 'src' | 'dst', peer: ConnectionPeer, cluster: string): Record<string, unknown> {
  return {
    [`${side}.addr`]: formatSocketAddress(peer.address),
    [`${side}.workload`]: peer.workload?.name,
    [`${side}.namespace`]: peer.workload?.namespace,
    [`${side}.identity`]: peer.identity,
    [`${side}.cluster`]: peer.workload === undefined ? undefined : cluster,
  };
}

function verdictFields({ verdict }: ConnectionSummary): Record<string, unknown> {
  if (verdict === undefined || (verdict.allowed && verdict.policy === undefined)) return {};
  return defined({ 'verdict.policy': verdict.policy, 'verdict.reason': verdict.reason });
}

function errorFields({ error }: ConnectionRecord): Record<string, unknown> {
  if (error === undefined) return {};
  return defined({ error: error.message, code: error.code, hop: error.hop, hint: error.hint });
}

/** Drops what is not known: a field that is absent says so better than "undefined". */
function defined(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}
