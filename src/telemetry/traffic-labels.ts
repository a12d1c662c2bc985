/**
 * Istio's standard labels of a TCP connection, from its summary. What is not known is "unknown", as in Istio; a
 * principal is set only when a certificate proved it in this very connection.
 */
import type { ConnectionPeer, ConnectionSummary } from '../model/connection.ts';
import type { Service, ServiceKey, Workload } from '../model/mesh.ts';
import type { ResponseFlag } from './outcome.ts';

/** In Istio's order: dashboards and recording rules name them all. */
export const trafficLabelNames = [
  'reporter',
  'source_workload',
  'source_canonical_service',
  'source_canonical_revision',
  'source_workload_namespace',
  'source_principal',
  'source_app',
  'source_version',
  'source_cluster',
  'destination_service',
  'destination_service_namespace',
  'destination_service_name',
  'destination_workload',
  'destination_canonical_service',
  'destination_canonical_revision',
  'destination_workload_namespace',
  'destination_principal',
  'destination_app',
  'destination_version',
  'destination_cluster',
  'request_protocol',
  'response_flags',
  'connection_security_policy',
] as const;

export type TrafficLabel = (typeof trafficLabelNames)[number];
export type TrafficLabels = Readonly<Record<TrafficLabel, string>>;

export interface LabelContext {
  readonly clusterId: string;
  /** The Service behind a key, for its hostname. */
  readonly service: (key: ServiceKey) => Pick<Service, 'hostname' | 'name' | 'namespace'> | undefined;
}

const unknown = 'unknown';

export function trafficLabels(
  summary: ConnectionSummary,
  flag: ResponseFlag,
  context: LabelContext,
): TrafficLabels {
  const source = sideLabels(summary.source, context.clusterId);
  const destination = sideLabels(summary.destination, context.clusterId);
  const service = summary.service === undefined ? undefined : context.service(summary.service);
  return {
    reporter: summary.direction === 'outbound' ? 'source' : 'destination',
    source_workload: source.workload,
    source_canonical_service: source.canonicalService,
    source_canonical_revision: source.canonicalRevision,
    source_workload_namespace: source.namespace,
    source_principal: source.principal,
    source_app: source.canonicalService,
    source_version: source.canonicalRevision,
    source_cluster: source.cluster,
    destination_service: service?.hostname ?? unknown,
    destination_service_namespace: service?.namespace ?? unknown,
    destination_service_name: service?.name ?? unknown,
    destination_workload: destination.workload,
    destination_canonical_service: destination.canonicalService,
    destination_canonical_revision: destination.canonicalRevision,
    destination_workload_namespace: destination.namespace,
    destination_principal: destination.principal,
    destination_app: destination.canonicalService,
    destination_version: destination.canonicalRevision,
    destination_cluster: destination.cluster,
    request_protocol: 'tcp',
    response_flags: flag,
    connection_security_policy: summary.path === 'tunnel' ? 'mutual_tls' : unknown,
  };
}

/** The labels under which everything beyond the cardinality budget is counted together. */
export function otherLabels(labels: TrafficLabels): TrafficLabels {
  const kept = new Set<TrafficLabel>([
    'reporter',
    'request_protocol',
    'response_flags',
    'connection_security_policy',
  ]);
  const folded = trafficLabelNames.map((name) => [name, kept.has(name) ? labels[name] : 'other']);
  return Object.fromEntries(folded) as TrafficLabels;
}

interface SideLabels {
  readonly workload: string;
  readonly namespace: string;
  readonly canonicalService: string;
  readonly canonicalRevision: string;
  readonly cluster: string;
  readonly principal: string;
}

function sideLabels({ workload, identity }: ConnectionPeer, clusterId: string): SideLabels {
  return {
    workload: workload?.owner.name ?? unknown,
    namespace: workload?.namespace ?? unknown,
    canonicalService: workload === undefined ? unknown : canonicalName(workload),
    canonicalRevision: workload === undefined ? unknown : canonicalRevision(workload),
    cluster: workload === undefined ? unknown : clusterId,
    principal: identity ?? unknown,
  };
}

/** Istio's canonical service of a workload: the first of these labels, else its owner's name. */
export const canonicalName = ({ labels, owner }: Workload): string =>
  labels['service.istio.io/canonical-name'] ??
  labels['app.kubernetes.io/name'] ??
  labels['app'] ??
  owner.name;

/** Istio's canonical revision: the first of these labels, else "latest". */
export const canonicalRevision = ({ labels }: Workload): string =>
  labels['service.istio.io/canonical-revision'] ??
  labels['app.kubernetes.io/version'] ??
  labels['version'] ??
  'latest';
