import { describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import type { ConnectionRecord } from '../../../src/model/connection.ts';
import { istioCatalogue, meshCatalogue } from '../../../src/telemetry/catalogue.ts';
import { Metrics } from '../../../src/telemetry/metrics.ts';
import { SeriesTable } from '../../../src/telemetry/series-table.ts';
import { trafficLabelNames } from '../../../src/telemetry/traffic-labels.ts';
import { TrafficMetrics } from '../../../src/telemetry/traffic-metrics.ts';
import { cart, failure, fakeClock, peer, record, web, webService, workload } from './records.ts';

interface Line {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

async function scrape(metrics: Metrics): Promise<readonly Line[]> {
  const lines = (await metrics.render()).split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return lines.map((line) => {
    const [, name = '', labels = '', value = ''] = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
    const pairs = [...labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, key = '', text = '']) => [
      key,
      text,
    ]);
    return { name, labels: Object.fromEntries(pairs), value: Number(value) };
  });
}

function setUp(budget = 100): {
  readonly metrics: Metrics;
  readonly traffic: TrafficMetrics;
  readonly clock: ReturnType<typeof fakeClock>;
  readonly read: (name: string, labels?: Record<string, string>) => Promise<number>;
} {
  const metrics = new Metrics();
  const clock = fakeClock();
  const labels = { clusterId: 'c1', service: () => webService };
  const traffic = new TrafficMetrics({ metrics, clock, labels }, { budget });
  const read = async (name: string, wanted: Record<string, string> = {}): Promise<number> =>
    (await scrape(metrics))
      .filter((line) => line.name === name)
      .filter((line) => Object.entries(wanted).every(([key, value]) => line.labels[key] === value))
      .reduce((sum, line) => sum + line.value, 0);
  return { metrics, traffic, clock, read };
}

const open = (
  traffic: TrafficMetrics,
  story: ConnectionRecord,
  summary = (): ConnectionRecord => story,
): void => traffic.opened({ id: story.id, summary }, summary());

const from = (name: string): ConnectionRecord => record({ source: peer('10.0.0.5:1', workload('ns', name)) });

describe('the metrics of connections', () => {
  it('carry exactly Istio’s standard labels', async () => {
    const { metrics, traffic } = setUp();
    traffic.completed(record());
    const line = (await scrape(metrics)).find(({ name }) => name === 'istio_tcp_connections_opened_total');
    expect(Object.keys(line?.labels ?? {})).toEqual([...trafficLabelNames]);
    expect(line?.labels).toEqual({
      reporter: 'source',
      source_workload: 'cart',
      source_canonical_service: 'cart',
      source_canonical_revision: 'latest',
      source_workload_namespace: 'shop',
      source_principal: 'spiffe://cluster.local/ns/shop/sa/cart',
      source_app: 'cart',
      source_version: 'latest',
      source_cluster: 'c1',
      destination_service: 'web.shop.svc.cluster.local',
      destination_service_namespace: 'shop',
      destination_service_name: 'web',
      destination_workload: 'web',
      destination_canonical_service: 'web',
      destination_canonical_revision: 'v2',
      destination_workload_namespace: 'shop',
      destination_principal: 'spiffe://cluster.local/ns/shop/sa/web',
      destination_app: 'web',
      destination_version: 'v2',
      destination_cluster: 'c1',
      request_protocol: 'tcp',
      response_flags: '-',
      connection_security_policy: 'mutual_tls',
    });
  });

  it('say "unknown" of an unmeshed peer, and never take a principal from an address', async () => {
    const { metrics, traffic } = setUp();
    traffic.completed(
      record({
        path: 'direct',
        direction: 'inbound',
        source: peer('10.0.0.9:1', cart, false),
        destination: peer('10.0.1.8:8080', web, false),
      }),
    );
    const line = (await scrape(metrics)).find(({ name }) => name === 'istio_tcp_connections_closed_total');
    expect(line?.labels).toMatchObject({
      source_principal: 'unknown',
      destination_principal: 'unknown',
      connection_security_policy: 'unknown',
      source_workload: 'cart',
    });
  });

  it.each(['inbound', 'outbound'] as const)(
    'count the request as received and the response as sent, also as the %s reporter',
    async (direction) => {
      const { traffic, read } = setUp();
      traffic.completed(record({ direction, bytesSent: 100, bytesReceived: 5000 }));
      expect(await read('istio_tcp_received_bytes_total')).toBe(100);
      expect(await read('istio_tcp_sent_bytes_total')).toBe(5000);
    },
  );

  it('show the bytes of a connection while it lives, and count none twice when it ends', async () => {
    const { traffic, read } = setUp();
    const story = record({ bytesSent: 0, bytesReceived: 0 });
    let now = story;
    open(traffic, story, () => now);
    now = { ...story, bytesSent: 10, bytesReceived: 1000 };
    expect(await read('istio_tcp_sent_bytes_total')).toBe(1000);
    now = { ...story, bytesSent: 30, bytesReceived: 1500 };
    expect(await read('istio_tcp_sent_bytes_total')).toBe(1500);
    expect(await read('istio_tcp_connections_closed_total')).toBe(0);
    traffic.completed({ ...now, bytesReceived: 1600 });
    expect(await read('istio_tcp_sent_bytes_total')).toBe(1600);
    expect(await read('istio_tcp_received_bytes_total')).toBe(30);
    expect(await read('istio_tcp_connections_opened_total')).toBe(1);
    expect(await read('istio_tcp_connections_closed_total')).toBe(1);
  });

  it('opened minus closed is what is open, also for connections that fail', async () => {
    const { traffic, read } = setUp();
    const alive = record();
    open(traffic, alive);
    traffic.completed(record({ error: failure('POLICY_DENIED', 'policy') }));
    traffic.completed(record({ error: failure('DIAL_FAILED') }));
    const labels = { response_flags: '-' };
    const opened = await read('istio_tcp_connections_opened_total', labels);
    expect(opened - (await read('istio_tcp_connections_closed_total', labels))).toBe(1);
  });

  it.each([
    ['POLICY_DENIED', 'DENY'],
    ['DIAL_FAILED', 'CONNECT'],
    ['TLS_FAILED', 'TLS_FAILURE'],
    ['H2_PROTOCOL', 'H2_HANDSHAKE_FAILURE'],
    ['TRUST_DOMAIN', 'IDENTITY_ERROR'],
    ['UNKNOWN_SOURCE', '-'],
  ] as const)('count a connection that failed with %s under response_flags="%s"', async (code, flag) => {
    const { traffic, read } = setUp();
    traffic.completed(record({ error: failure(code) }));
    expect(await read('istio_tcp_connections_failed_total', { response_flags: flag })).toBe(1);
  });

  it('do not call a reset by the application a failure', async () => {
    const { traffic, read } = setUp();
    traffic.completed(record({ error: failure('APPLICATION_RESET', 'relay') }));
    expect(await read('istio_tcp_connections_failed_total')).toBe(0);
  });

  it('stay within their budget of series, and lose no connection over it', async () => {
    const { metrics, traffic, read } = setUp(5);
    for (let i = 0; i < 200; i++) {
      traffic.completed(record({ source: peer('10.0.0.5:1', workload('ns', `pod${i}`)) }));
    }
    const lines = (await scrape(metrics)).filter(({ name }) => name === 'istio_tcp_connections_opened_total');
    expect(lines).toHaveLength(6);
    expect(lines.reduce((sum, line) => sum + line.value, 0)).toBe(200);
    expect(await read('mesh_traffic_series_overflow_total')).toBe(195);
    expect(await read('mesh_traffic_series')).toBe(5);
  });

  it('give a series to a pair that became busy, in place of one that went idle', async () => {
    const { traffic, clock, read } = setUp(2);
    for (const name of ['idle', 'steady', 'late']) traffic.completed(from(name));
    for (let minute = 0; minute < 4; minute++) {
      for (let i = 0; i < 20; i++) for (const name of ['steady', 'late']) traffic.completed(from(name));
      clock.advance(60_000);
      await read('mesh_traffic_series');
    }
    for (let i = 0; i < 7; i++) traffic.completed(from('late'));
    expect(await read('istio_tcp_connections_opened_total', { source_workload: 'idle' })).toBe(0);
    expect(
      await read('istio_tcp_connections_opened_total', { source_workload: 'late' }),
    ).toBeGreaterThanOrEqual(7);
    expect(await read('istio_tcp_connections_opened_total', { source_workload: 'steady' })).toBe(81);
  });

  it('keep counting a long connection in its own series, however idle', async () => {
    const { traffic, clock, read } = setUp(1);
    const story = record({
      source: peer('10.0.0.5:1', workload('ns', 'long')),
      bytesSent: 0,
      bytesReceived: 0,
    });
    open(traffic, story);
    for (let minute = 0; minute < 5; minute++) {
      for (let i = 0; i < 50; i++) traffic.completed(record());
      clock.advance(60_000);
      await read('mesh_traffic_series');
    }
    traffic.completed({ ...story, bytesSent: 9 });
    expect(await read('istio_tcp_received_bytes_total', { source_workload: 'long' })).toBe(9);
  });

  it('say the same at the second scrape as at the first', async () => {
    const { metrics, traffic } = setUp();
    traffic.completed(record());
    expect(await metrics.render()).toBe(await metrics.render());
  });

  it('escape what a peer wrote into a name', async () => {
    const { metrics, traffic } = setUp();
    const hostile = workload('ns', 'x', { owner: { name: 'a"} 1\nfake_metric 7\n', kind: 'pod' } });
    traffic.completed(record({ source: peer('10.0.0.5:1', hostile) }));
    expect((await metrics.render()).split('\n').some((line) => line.startsWith('fake_metric'))).toBe(false);
  });
});

const other = (): { readonly pod: string } => ({ pod: 'other' });

describe('a table of series', () => {
  it('accounts for every use, in whatever order tuples come', () => {
    const step = fc.oneof(fc.nat(30), fc.constant('rebalance' as const));
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
        const table = new SeriesTable<{ readonly pod: string }, 'uses'>({
          valueNames: ['uses'],
          budget: 8,
          other,
        });
        let displaced = 0;
        let uses = 0;
        for (const one of steps) {
          const before = table.all().reduce((sum, series) => sum + series.values.uses, 0);
          if (one === 'rebalance') {
            table.rebalance();
            displaced += before - table.all().reduce((sum, series) => sum + series.values.uses, 0);
          } else {
            table.use({ pod: `p${one}` }).values.uses += 1;
            uses += 1;
          }
        }
        expect(table.size).toBeLessThanOrEqual(8);
        expect(table.all().reduce((sum, series) => sum + series.values.uses, 0) + displaced).toBe(uses);
        expect(displaced).toBeGreaterThanOrEqual(0);
      }),
    );
  });
});

describe('the metrics of the node', () => {
  it('are read from their owner at each scrape', async () => {
    const metrics = new Metrics();
    let errors = 1;
    metrics.observe('mesh_config_errors', () => [{ labels: {}, value: errors }]);
    metrics.observe('mesh_certificates', () => [{ labels: { state: 'valid' }, value: 42 }]);
    errors = 3;
    expect(await scrape(metrics)).toEqual([
      { name: 'mesh_config_errors', labels: {}, value: 3 },
      { name: 'mesh_certificates', labels: { state: 'valid' }, value: 42 },
    ]);
  });

  it('leave out a gauge nobody owns, rather than saying 0', async () => {
    expect(await new Metrics().render()).not.toContain('mesh_config_errors');
  });

  it('add up events', async () => {
    const metrics = new Metrics();
    metrics.count('mesh_ca_requests_total', { result: 'ok' });
    metrics.count('mesh_ca_requests_total', { result: 'ok' }, 2);
    expect(await scrape(metrics)).toEqual([
      { name: 'mesh_ca_requests_total', labels: { result: 'ok' }, value: 3 },
    ]);
  });

  it('say in their help text whether they may be built on', async () => {
    const metrics = new Metrics();
    metrics.observe('mesh_config_errors', () => []);
    expect(await metrics.render()).toMatch(/# HELP mesh_config_errors .* \(core\)/);
  });

  it('follow the Prometheus naming rules', () => {
    for (const [name, { type, help }] of Object.entries(meshCatalogue)) {
      expect(name).toMatch(/^mesh_[a-z0-9_]+$/);
      expect(name.endsWith('_total')).toBe(type === 'counter');
      expect(help).not.toMatch(/\.$/);
    }
    for (const name of Object.keys(istioCatalogue)) expect(name).toMatch(/^istio_tcp_[a-z_]+_total$/);
  });
});
