/** Everything that watches a node: access log, metrics, the list of connections, and what the metrics are read from. */
import type { Enrolment } from '../../agent/enrolment.ts';
import type { Clock } from '../../base/clock.ts';
import type { MeshError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import type { Datapath } from '../../datapath/datapath.ts';
import type { MapOccupancy } from '../../datapath/occupancy.ts';
import type { CertificateManager, CertificateObserver } from '../../identity/certificate-manager.ts';
import type { MeshReader } from '../../model/view.ts';
import type { Keeper } from '../../native/keeper.ts';
import type { TunnelEngine } from '../../net/engine.ts';
import type { RouteTroubles } from '../../ztunnel/suspects.ts';
import { AccessLog } from '../../telemetry/access-log.ts';
import { type DenialAccount, denialAccount } from '../../telemetry/denial-account.ts';
import { ConnectionRegistry } from '../../telemetry/connection-registry.ts';
import { PairTable } from '../../telemetry/flight/pairs.ts';
import { FailureThrottle } from '../../telemetry/failure-throttle.ts';
import type { Metrics, Sample } from '../../telemetry/metrics.ts';
import { PolicyMetrics } from '../../telemetry/policy-metrics.ts';
import { type TrafficAccount, trafficAccount } from '../../telemetry/traffic-account.ts';
import { TrafficMetrics } from '../../telemetry/traffic-metrics.ts';
import type { DenialEvents } from './denial-events.ts';

export interface Observability {
  readonly metrics: Metrics;
  readonly registry: ConnectionRegistry;
  readonly traffic: TrafficAccount;
  readonly denials: DenialAccount;
  readonly pairs: PairTable;
}

export function createObservability(
  metrics: Metrics,
  mesh: MeshReader,
  clock: Clock,
  log: Logger,
  events: Pick<DenialEvents, 'completed'>,
): Observability {
  const registry = new ConnectionRegistry();
  const pairs = new PairTable();
  const { clusterId } = mesh.view.config;
  const service = (key: Parameters<MeshReader['view']['services']['get']>[0]) => mesh.view.services.get(key);
  const accessLog = new AccessLog({
    log: log.child({ scope: 'access' }),
    throttle: new FailureThrottle(clock),
    config: { clusterId },
    service,
  });
  const traffic = trafficAccount({
    accessLog,
    registry,
    metrics: new TrafficMetrics({ metrics, clock, labels: { clusterId, service } }),
    policies: new PolicyMetrics(metrics),
    pairs,
    events,
  });
  const denials = denialAccount({ accessLog, registry, metrics, events });
  return { metrics, registry, pairs, traffic, denials };
}

export const routeTroubles = (metrics: Metrics): RouteTroubles => ({
  failed: (code) => metrics.count('mesh_route_failures_total', { code }),
  slow: () => metrics.count('mesh_route_hedges_total', {}),
});

export interface WatchedParts {
  readonly version: string;
  readonly keeper: Pick<Keeper, 'restarts'>;
  readonly mesh: MeshReader;
  readonly enrolment: Enrolment;
  readonly certificates: CertificateManager;
  readonly engine: TunnelEngine;
  readonly datapath: Pick<Datapath, 'counters' | 'servicesLeftOut' | 'degraded' | 'untried'>;
  readonly occupancy: () => readonly MapOccupancy[];
  readonly problemCount: () => number;
}

const gauge = (value: number) => [{ labels: {}, value }];

/** Gauges that are read from their owner at each scrape. */
export function watchParts({ metrics, registry }: Observability, parts: WatchedParts): void {
  const { enrolment, certificates, engine, mesh, datapath } = parts;
  metrics.observe('mesh_build_info', () => [
    { labels: { version: parts.version, node_version: process.versions.node }, value: 1 },
  ]);
  metrics.observe('mesh_worker_restarts_total', () => gauge(parts.keeper.restarts));
  metrics.observe('mesh_pods', () =>
    Object.entries(enrolment.counts()).map(([state, value]) => ({ labels: { state }, value })),
  );
  metrics.observe('mesh_config_version', () => gauge(mesh.view.version));
  metrics.observe('mesh_config_errors', () => gauge(parts.problemCount()));
  metrics.observe('mesh_connections_live', () => gauge(registry.liveCount));
  metrics.observe('mesh_buffered_bytes', () => gauge(engine.stats().bufferedBytes));
  metrics.observe('mesh_tunnels', () => [
    { labels: { direction: 'outbound' }, value: engine.stats().tunnelsOut },
    { labels: { direction: 'inbound' }, value: engine.stats().tunnelsIn },
  ]);
  metrics.observe('mesh_datapath_events_total', () =>
    Object.entries(datapath.counters()).map(([event, count]) => ({
      labels: { event },
      value: Number(count),
    })),
  );
  metrics.observe('mesh_kernel_path_services_left_out', () => gauge(datapath.servicesLeftOut()));
  metrics.observe('mesh_bpf_programs_degraded', () => degradedPrograms(datapath));
  metrics.observe('mesh_bpf_map_entries', () =>
    parts.occupancy().map(({ map, entries }) => ({ labels: { map: map.name }, value: entries })),
  );
  metrics.observe('mesh_bpf_map_max_entries', () =>
    parts.occupancy().map(({ map, capacity }) => ({ labels: { map: map.name }, value: capacity })),
  );
  metrics.observe('mesh_certificates', () =>
    [...Map.groupBy(certificates.status(), ({ state }) => state)].map(([state, { length }]) => ({
      labels: { state },
      value: length,
    })),
  );
  metrics.observe('mesh_certificate_next_expiry_timestamp_seconds', () => {
    const ends = certificates.status().flatMap(({ certificate }) => certificate?.notAfter ?? []);
    return ends.length === 0 ? [] : gauge(Math.min(...ends) / 1000);
  });
}

/** Whether they could not be tried on this kernel, or failed: what to do about the two is different. */
export function degradedPrograms({
  degraded,
  untried,
}: Pick<Datapath, 'degraded' | 'untried'>): Sample<'mesh_bpf_programs_degraded'>[] {
  const code = (degraded ?? untried)?.code;
  const wasUntried = code === 'BPF_UNTRIED';
  return [
    { labels: { reason: 'failed' }, value: Number(code !== undefined && !wasUntried) },
    { labels: { reason: 'untried' }, value: Number(wasUntried) },
  ];
}

/** Counts the node's requests to the certificate authority. */
export const certificateRequests = (metrics: Metrics): CertificateObserver => ({
  obtained: () => metrics.count('mesh_ca_requests_total', { result: 'ok' }),
  failed: (_identity, { code }) => metrics.count('mesh_ca_requests_total', { result: code }),
  alarm: () => {},
});

export const enrolmentFailures =
  (metrics: Metrics) =>
  ({ code }: MeshError): void =>
    metrics.count('mesh_enrolment_failures_total', { code });
