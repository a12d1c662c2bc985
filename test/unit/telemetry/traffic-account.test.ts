import { describe, expect, it } from '@jest/globals';
import { silentLogger, type Logger } from '../../../src/base/log.ts';
import { AccessLog } from '../../../src/telemetry/access-log.ts';
import { ConnectionRegistry } from '../../../src/telemetry/connection-registry.ts';
import { PairTable } from '../../../src/telemetry/flight/pairs.ts';
import { FailureThrottle } from '../../../src/telemetry/failure-throttle.ts';
import { Metrics } from '../../../src/telemetry/metrics.ts';
import { PolicyMetrics } from '../../../src/telemetry/policy-metrics.ts';
import { trafficAccount } from '../../../src/telemetry/traffic-account.ts';
import { TrafficMetrics } from '../../../src/telemetry/traffic-metrics.ts';
import { failure, fakeClock, record, webService } from './records.ts';

const service = (): typeof webService => webService;

function setUp() {
  const clock = fakeClock();
  const lines: string[] = [];
  const log: Logger = {
    ...silentLogger,
    info: (_, text) => void lines.push(text),
    error: (_, text) => void lines.push(text),
  };
  const metrics = new Metrics();
  const registry = new ConnectionRegistry();
  const account = trafficAccount({
    registry,
    metrics: new TrafficMetrics({ metrics, clock, labels: { clusterId: 'c1', service } }),
    events: { completed: () => {} },
    policies: new PolicyMetrics(metrics),
    pairs: new PairTable(),
    accessLog: new AccessLog({
      log,
      throttle: new FailureThrottle(clock),
      config: { clusterId: 'c1' },
      service,
    }),
  });
  return { account, lines, metrics, registry };
}

describe('the account of a connection', () => {
  it.each([
    ['one that was open before', true, undefined],
    ['one that failed before it opened', false, failure('DIAL_FAILED')],
  ])('turns %s into one log line, one set of metrics and one record', async (_what, opens, error) => {
    const { account, lines, metrics, registry } = setUp();
    const story = record({ error });
    if (opens) account.opened({ id: story.id, summary: () => story });
    account.completed(story);
    expect(lines).toEqual(['connection complete']);
    expect(registry.keptCount).toBe(1);
    expect(registry.liveCount).toBe(0);
    const text = await metrics.render();
    expect(text).toMatch(/istio_tcp_connections_opened_total\{.*\} 1\n/);
    expect(text).toMatch(/istio_tcp_connections_closed_total\{.*\} 1\n/);
  });

  it('counts as many as its record stands for', async () => {
    const { account, lines, metrics, registry } = setUp();
    account.completed(record({ connections: 900, bytesSent: 9000 }));
    expect([lines.length, registry.keptCount]).toEqual([1, 1]);
    const text = await metrics.render();
    expect(text).toMatch(/istio_tcp_connections_opened_total\{.*\} 900\n/);
    expect(text).toMatch(/istio_tcp_connections_closed_total\{.*\} 900\n/);
    expect(text).toMatch(/istio_tcp_received_bytes_total\{.*\} 9000\n/);
  });
});
