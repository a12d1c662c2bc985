import { describe, expect, it } from '@jest/globals';
import { type Logger, silentLogger } from '../../../src/base/log.ts';
import { AccessLog } from '../../../src/telemetry/access-log.ts';
import { FailureThrottle } from '../../../src/telemetry/failure-throttle.ts';
import { failure, fakeClock, peer, record, webService } from './records.ts';

type Line = Record<string, unknown>;

function accessLog(): {
  readonly lines: Line[];
  readonly log: AccessLog;
  readonly clock: ReturnType<typeof fakeClock>;
} {
  const lines: Line[] = [];
  const write =
    (level: string) =>
    (fields: Readonly<Line>, msg: string): void =>
      // As pino does: what is undefined is left out.
      void lines.push(JSON.parse(JSON.stringify({ level, msg, ...fields })) as Line);
  const sink: Logger = {
    ...silentLogger,
    debug: write('debug'),
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
    child: () => sink,
  };
  const clock = fakeClock();
  const throttle = new FailureThrottle(clock, { burst: 3, burstTotal: 20, windowMs: 10_000, maxKeys: 50 });
  const log = new AccessLog({ log: sink, throttle, config: { clusterId: 'c1' }, service: () => webService });
  return { lines, log, clock };
}

describe('the access log', () => {
  it('says of what the kernel carried that it was accelerated, where it was', () => {
    const { lines, log } = accessLog();
    const carried = { path: 'kernel', kernel: { rttMs: 0.05, retransmits: 0 } } as const;
    for (const accelerated of [true, false, undefined])
      log.completed(record(accelerated === undefined ? carried : { ...carried, accelerated }));
    expect(lines.map((line) => [line['rtt'], line['accelerated']])).toEqual([
      ['0.05ms', true],
      ['0.05ms', undefined],
      ['0.05ms', undefined],
    ]);
  });

  it('writes one line for a connection, with the fields of Istio’s ztunnel', () => {
    const { lines, log } = accessLog();
    log.completed(record());
    expect(lines).toEqual([
      {
        level: 'info',
        msg: 'connection complete',
        connection: expect.stringMatching(/^c-/),
        'src.addr': '10.0.0.5:40000',
        'src.workload': 'cart-1',
        'src.namespace': 'shop',
        'src.identity': 'spiffe://cluster.local/ns/shop/sa/cart',
        'src.cluster': 'c1',
        'dst.addr': '10.0.1.8:8080',
        'dst.hbone_addr': '10.0.1.8:15008',
        'dst.service': 'web.shop.svc.cluster.local',
        'dst.workload': 'web-1',
        'dst.namespace': 'shop',
        'dst.identity': 'spiffe://cluster.local/ns/shop/sa/web',
        'dst.cluster': 'c1',
        direction: 'outbound',
        trace_id: '0af7651916cd43dd8448eb211c80319c',
        bytes_sent: 100,
        bytes_recv: 5000,
        duration: '13ms',
      },
    ]);
  });

  it('counts bytes from the side that writes the line', () => {
    const { lines, log } = accessLog();
    log.completed(record({ direction: 'inbound' }));
    expect(lines[0]).toMatchObject({ direction: 'inbound', bytes_sent: 5000, bytes_recv: 100 });
  });

  it('leaves out what is not known instead of guessing', () => {
    const { lines, log } = accessLog();
    log.completed(record({ source: peer('203.0.113.9:1'), hboneAddress: undefined, path: 'direct' }));
    for (const field of ['src.workload', 'src.identity', 'src.cluster', 'dst.hbone_addr', 'error']) {
      expect(lines[0]).not.toHaveProperty([field]);
    }
  });

  it.each([
    ['APPLICATION_RESET', 'relay', 'info', 'connection complete'],
    ['DRAINING', 'relay', 'info', 'connection complete'],
    ['POLICY_DENIED', 'policy', 'warn', 'connection complete'],
    ['DIAL_FAILED', 'dial', 'error', 'connection complete'],
    ['PEER_GONE', 'peer', 'error', 'connection complete'],
    ['UNKNOWN_SOURCE', 'capture', 'warn', 'connection failed'],
    ['NO_HEALTHY_ENDPOINT', 'resolve', 'warn', 'connection failed'],
  ] as const)('writes %s at hop %s as %s "%s"', (code, hop, level, msg) => {
    const { lines, log } = accessLog();
    log.completed(record({ error: failure(code, hop) }));
    expect(lines[0]).toMatchObject({
      level,
      msg,
      code,
      hop,
      error: `it did not work: ${code}`,
      hint: 'try again',
    });
  });

  it('names the policy of a denial and the field that decided', () => {
    const { lines, log } = accessLog();
    const verdict = { allowed: false, policy: undefined, reason: 'no rule of shop/db-allow matched' };
    log.completed(record({ verdict, error: failure('POLICY_DENIED', 'policy') }));
    expect(lines[0]).toMatchObject({ 'verdict.reason': 'no rule of shop/db-allow matched' });
  });

  it('writes the first of a storm of equal failures, then how many it left out', () => {
    const { lines, log, clock } = accessLog();
    for (let i = 0; i < 1000; i++) log.completed(record({ error: failure('DIAL_FAILED') }));
    expect(lines).toHaveLength(3);
    clock.advance(10_000);
    log.completed(record({ error: failure('DIAL_FAILED') }));
    expect(lines).toHaveLength(4);
    expect(lines[3]).toMatchObject({ suppressed: 997 });
  });

  it('does not let one kind of failure hide another', () => {
    const { lines, log } = accessLog();
    for (let i = 0; i < 100; i++) log.completed(record({ error: failure('DIAL_FAILED') }));
    log.completed(record({ error: failure('TLS_FAILED', 'tls') }));
    expect(lines.at(-1)).toMatchObject({ code: 'TLS_FAILED' });
  });

  it('bounds the lines of a port scan, in which every failure is different', () => {
    const { lines, log } = accessLog();
    for (let port = 1; port <= 5000; port++) {
      log.completed(record({ destination: peer(`10.0.1.8:${port}`), error: failure('DIAL_FAILED') }));
    }
    expect(lines).toHaveLength(20);
  });

  it('says how many a line stands for where it is more than one', () => {
    const { lines, log } = accessLog();
    log.completed(record());
    log.completed(record({ connections: 900, bytesSent: 9000 }));
    expect(lines[0]).not.toHaveProperty('connections');
    expect(lines[1]).toMatchObject({ connections: 900, bytes_sent: 9000 });
  });

  it('never holds back connections that went well', () => {
    const { lines, log } = accessLog();
    for (let i = 0; i < 200; i++) log.completed(record());
    expect(lines).toHaveLength(200);
  });
});
