/**
 * Istio's TCP metrics of this node's connections. Bytes of a connection that lives are added at every scrape, so a
 * long transfer shows while it runs. Fed by `traffic-account.ts` only.
 *
 * Direction: for both reporters `received` is what went from the source to the destination (the request) and `sent`
 * what came back (the response). For reporter="source" that is the opposite of what the words say, and so does Istio
 * (istio/istio issue 32399); log lines are from the reporting side's own point of view.
 */
import type { Clock } from '../base/clock.ts';
import type { ConnectionId, ConnectionRecord, ConnectionSummary } from '../model/connection.ts';
import { istioCatalogue, type IstioMetric } from './catalogue.ts';
import type { LiveConnection } from './connection-registry.ts';
import type { Metrics } from './metrics.ts';
import { countOf, outcomeOf, responseFlagOf } from './outcome.ts';
import { ReadCounter } from './read-counter.ts';
import { type HeldSeries, SeriesTable } from './series-table.ts';
import {
  type LabelContext,
  otherLabels,
  type TrafficLabels,
  trafficLabelNames,
  trafficLabels,
} from './traffic-labels.ts';

const flowValues = ['opened', 'closed', 'sent', 'received'] as const;
type FlowValue = (typeof flowValues)[number];

export interface TrafficMetricsDeps {
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly labels: LabelContext;
}

export interface TrafficMetricsOptions {
  /** Label tuples counted apart; about 23 labels and 1 KiB each, and a line per metric in the scrape. */
  readonly budget?: number;
}

interface Bound {
  readonly connection: LiveConnection;
  readonly series: HeldSeries<TrafficLabels, FlowValue>;
  countedSent: number;
  countedReceived: number;
}

const rebalanceEveryMs = 60_000;

export class TrafficMetrics {
  readonly #deps: TrafficMetricsDeps;
  readonly #flows: SeriesTable<TrafficLabels, FlowValue>;
  readonly #failures: SeriesTable<TrafficLabels, 'failed'>;
  readonly #bound = new Map<ConnectionId, Bound>();
  #rebalancedAt: number;

  constructor(deps: TrafficMetricsDeps, { budget = 2000 }: TrafficMetricsOptions = {}) {
    this.#deps = deps;
    this.#rebalancedAt = deps.clock.now();
    this.#flows = new SeriesTable({ valueNames: flowValues, budget, other: otherLabels });
    this.#failures = new SeriesTable({ valueNames: ['failed'], budget, other: otherLabels });
    this.#register('istio_tcp_connections_opened_total', this.#flows, 'opened');
    this.#register('istio_tcp_connections_closed_total', this.#flows, 'closed');
    this.#register('istio_tcp_sent_bytes_total', this.#flows, 'sent');
    this.#register('istio_tcp_received_bytes_total', this.#flows, 'received');
    this.#register('istio_tcp_connections_failed_total', this.#failures, 'failed');
    this.#registerOwn();
  }

  opened(connection: LiveConnection, summary: ConnectionSummary): void {
    if (!this.#bound.has(connection.id)) this.#bound.set(connection.id, this.#open(connection, summary));
  }

  #open(connection: LiveConnection, summary: ConnectionSummary): Bound {
    const series = this.#flows.hold(trafficLabels(summary, '-', this.#deps.labels));
    series.values.opened += 1;
    return { connection, series, countedSent: 0, countedReceived: 0 };
  }

  #openAtEnd(record: ConnectionRecord): Bound {
    const bound = this.#open({ id: record.id, summary: () => record }, record);
    bound.series.values.opened += countOf(record) - 1;
    return bound;
  }

  completed(record: ConnectionRecord): void {
    const bound = this.#bound.get(record.id);
    this.#close(bound ?? this.#openAtEnd(record), record);
    const outcome = outcomeOf(record);
    if (outcome === 'completed' || outcome === 'ended') return;
    const labels = trafficLabels(record, responseFlagOf(record), this.#deps.labels);
    this.#failures.use(labels).values.failed += countOf(record);
  }

  /** Brings the counters up to now, before they are read. */
  #refresh(): void {
    for (const bound of this.#bound.values()) count(bound, bound.connection.summary());
    const now = this.#deps.clock.now();
    if (now - this.#rebalancedAt < rebalanceEveryMs) return;
    this.#rebalancedAt = now;
    this.#flows.rebalance();
    this.#failures.rebalance();
  }

  #registerOwn(): void {
    const { metrics } = this.#deps;
    const sum = (pick: (table: { size: number; overflows: number }) => number): number =>
      pick(this.#flows) + pick(this.#failures);
    metrics.beforeScrape(() => this.#refresh());
    metrics.observe('mesh_traffic_series', () => [{ labels: {}, value: sum((table) => table.size) }]);
    metrics.observe('mesh_traffic_series_overflow_total', () => [
      { labels: {}, value: sum((table) => table.overflows) },
    ]);
  }

  #close(bound: Bound, record: ConnectionRecord): void {
    count(bound, record);
    bound.series.values.closed += countOf(record);
    this.#flows.release(bound.series);
    this.#bound.delete(record.id);
  }

  #register<Value extends string>(
    name: IstioMetric,
    table: SeriesTable<TrafficLabels, Value>,
    value: Value,
  ): void {
    const { help, stability } = istioCatalogue[name];
    const read = (): { labels: TrafficLabels; value: number }[] =>
      table.all().map((series) => ({ labels: series.labels, value: series.values[value] }));
    this.#deps.metrics.registry.registerMetric(
      new ReadCounter({ name, help: `${help} (${stability})`, labelNames: trafficLabelNames, read }),
    );
  }
}

/** Adds what moved since the last look. Counters never go back, whatever the engine reports. */
function count(bound: Bound, { bytesSent, bytesReceived }: ConnectionSummary): void {
  const { values } = bound.series;
  values.received += Math.max(0, bytesSent - bound.countedSent);
  values.sent += Math.max(0, bytesReceived - bound.countedReceived);
  bound.countedSent = Math.max(bytesSent, bound.countedSent);
  bound.countedReceived = Math.max(bytesReceived, bound.countedReceived);
}
