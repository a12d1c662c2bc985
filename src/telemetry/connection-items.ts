/** Connections as the admin API tells them: model in, DTO out. Implements `AdminApi.connections` over the registry. */
import { formatSocketAddress } from '../base/ip.ts';
import type { ConnectionPeer, ConnectionRecord, ConnectionSummary, Verdict } from '../model/connection.ts';
import type { ConnectionEnd, ConnectionItem, ConnectionsBody, ConnectionsQuery } from './admin-api.ts';
import type { ConnectionRegistry } from './connection-registry.ts';
import { countOf, outcomeOf } from './outcome.ts';

export function connectionsBody(registry: ConnectionRegistry, query: ConnectionsQuery): ConnectionsBody {
  const { records, last, lost } = registry.recent(query);
  return {
    live: query.only === 'recent' ? [] : registry.live(query).map((summary) => liveItem(summary)),
    recent: query.only === 'live' ? [] : records.map(({ sequence, record }) => recordItem(record, sequence)),
    last,
    lost: query.only === 'live' ? 0 : lost,
  };
}

const unended = {
  sequence: null,
  outcome: null,
  durationMs: null,
  connections: 1,
  kernel: null,
  error: null,
};

function liveItem(summary: ConnectionSummary): ConnectionItem {
  return { ...summaryFields(summary), ...unended };
}

function recordItem(record: ConnectionRecord, sequence: number): ConnectionItem {
  return {
    ...summaryFields(record),
    sequence,
    outcome: outcomeOf(record),
    durationMs: record.durationMs,
    connections: countOf(record),
    kernel: record.kernel === undefined ? null : { ...record.kernel, rttMs: record.kernel.rttMs ?? null },
    error:
      record.error === undefined
        ? null
        : {
            code: record.error.code,
            hop: record.error.hop,
            message: record.error.message,
            hint: record.error.hint ?? null,
          },
  };
}

function summaryFields(summary: ConnectionSummary): Omit<ConnectionItem, keyof typeof unended> {
  const { verdict } = summary;
  return {
    id: summary.id,
    direction: summary.direction,
    path: summary.path,
    transport: summary.transport ?? 'tcp',
    source: connectionEnd(summary.source),
    destination: connectionEnd(summary.destination),
    originalDestination: formatSocketAddress(summary.originalDestination),
    hboneAddress: summary.hboneAddress === undefined ? null : formatSocketAddress(summary.hboneAddress),
    service: summary.service ?? null,
    verdict: verdict === undefined ? null : verdictItem(verdict),
    traceId: summary.traceId ?? null,
    openedAt: new Date(summary.openedAt).toISOString(),
    bytesSent: summary.bytesSent,
    bytesReceived: summary.bytesReceived,
    accelerated: summary.accelerated ?? null,
  };
}

function verdictItem({ audit, dryRun, ...verdict }: Verdict): NonNullable<ConnectionItem['verdict']> {
  return {
    ...decided(verdict),
    audit: audit ?? null,
    dryRun: dryRun === undefined ? null : decided(dryRun),
  };
}

const decided = ({ allowed, policy, reason }: Verdict) => ({ allowed, policy: policy ?? null, reason });

function connectionEnd({ address, workload, identity }: ConnectionPeer): ConnectionEnd {
  return {
    address: formatSocketAddress(address),
    workload: workload === undefined ? null : `${workload.namespace}/${workload.name}`,
    identity: identity ?? null,
  };
}
