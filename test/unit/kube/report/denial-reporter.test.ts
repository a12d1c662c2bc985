/** Refused connections as Kubernetes Events: what they say, and how few there are. */
import { beforeEach, describe, expect, it } from '@jest/globals';
import { MeshError } from '../../../../src/base/errors.ts';
import { parseIp, parsePort } from '../../../../src/base/ip.ts';
import { silentLogger } from '../../../../src/base/log.ts';
import type { KubeRequest } from '../../../../src/kube/client/kube-client.ts';
import { denialEvent } from '../../../../src/kube/report/denial-event.ts';
import { DenialReporter } from '../../../../src/kube/report/denial-reporter.ts';
import type { ConnectionId, ConnectionRecord } from '../../../../src/model/connection.ts';
import { parseSpiffeId } from '../../../../src/model/identity.ts';
import type { ServiceKey, Workload } from '../../../../src/model/mesh.ts';
import type { PolicyKey } from '../../../../src/model/policy.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { pod } from '../../../support/mesh-builder.ts';

const web = pod('shop/web-1', { ips: ['10.244.1.5'] });
const db = pod('data/db-1', { ips: ['10.244.2.7'] });
const address = (ip: string, port: number) => ({ ip: parseIp(ip), port: parsePort(port) });

function refusal(fields: Partial<ConnectionRecord> = {}): ConnectionRecord {
  return {
    id: 'c-1' as ConnectionId,
    direction: 'inbound',
    path: 'tunnel',
    source: { address: address('10.244.1.5', 40_000), workload: web, identity: web.identity },
    destination: { address: address('10.244.2.7', 5432), workload: db, identity: undefined },
    originalDestination: address('10.244.2.7', 5432),
    hboneAddress: undefined,
    service: undefined,
    verdict: { allowed: false, policy: 'data/only-api' as PolicyKey, reason: 'no rule matches' },
    traceId: undefined,
    openedAt: 0,
    bytesSent: 0,
    bytesReceived: 0,
    durationMs: 0,
    error: { code: 'POLICY_DENIED', hop: 'policy', message: 'refused', hint: undefined },
    ...fields,
  };
}

describe('the Event of a refused connection', () => {
  it('is on the pod it was refused by, names who came, and the policy with its reason', () => {
    expect(denialEvent(refusal())).toMatchObject({
      reason: 'ConnectionDenied',
      regarding: db,
      related: web,
      note: expect.stringMatching(
        /^shop\/web-1 \(spiffe:\/\/cluster\.local\/ns\/shop\/sa\/[^)]+\) → data\/db-1, tcp port 5432: refused by data\/only-api: no rule matches/,
      ),
    });
  });

  it('is on the source where the source’s node refused: egress, and UDP', () => {
    const out = refusal({
      direction: 'outbound',
      transport: 'udp',
      destination: { address: address('1.1.1.1', 443), workload: undefined, identity: undefined },
      originalDestination: address('1.1.1.1', 443),
    });
    expect(denialEvent(out)).toMatchObject({
      regarding: web,
      related: undefined,
      note: expect.stringContaining('→ 1.1.1.1:443, udp port 443'),
    });
    expect(denialEvent({ ...out, service: 'out/dns' as ServiceKey })?.note).toContain('→ out/dns,');
  });

  it('says so when nothing allows it', () => {
    const verdict = { allowed: false, policy: undefined, reason: 'no ALLOW policy matches' };
    expect(denialEvent(refusal({ verdict }))?.note).toContain(
      ': no policy allows it: no ALLOW policy matches',
    );
  });

  it('is none for what was allowed, or concerns no pod of ours', () => {
    const verdict = { allowed: true, policy: undefined, reason: '' };
    expect(denialEvent(refusal({ verdict }))).toBeUndefined();
    const stranger = { address: address('10.0.0.1', 1), workload: undefined, identity: undefined };
    expect(denialEvent(refusal({ destination: stranger }))).toBeUndefined();
  });

  it('is one for all pods of an identity, and for everybody outside, however many they are', () => {
    const key = (source: ConnectionRecord['source']): string | undefined =>
      denialEvent(refusal({ source }))?.key;
    const other: Workload = pod('shop/web-2', { ips: ['10.244.1.6'] });
    expect(key({ address: address('10.244.1.6', 1), workload: other, identity: web.identity })).toBe(
      key(refusal().source),
    );
    const guest = parseSpiffeId('spiffe://cluster.local/ns/shop/sa/guest');
    expect(key({ ...refusal().source, identity: guest })).not.toBe(key(refusal().source));
    const outside = (ip: string) => ({ address: address(ip, 1), workload: undefined, identity: undefined });
    expect(key(outside('1.1.1.1'))).toBe(key(outside('2.2.2.2')));
  });
});

let clock: FakeClock;
let requests: KubeRequest[];
let fail: (request: KubeRequest) => MeshError | undefined;
let reporter: DenialReporter;
let counts: string[];

beforeEach(() => {
  clock = new FakeClock();
  requests = [];
  counts = [];
  fail = () => undefined;
  reporter = new DenialReporter({
    clock,
    log: silentLogger,
    node: 'node-b',
    counted: (result) => counts.push(result),
    client: {
      request: async (request) => {
        requests.push(request);
        const error = fail(request);
        if (error !== undefined) throw error;
        return { metadata: {}, series: { count: 3 } };
      },
    },
  });
});

const many = (count: number): readonly ConnectionRecord[] =>
  Array.from({ length: count }, (_, i) => {
    const workload = pod(`data/db-${i}`, { ips: ['10.244.2.7'] });
    return refusal({ destination: { ...refusal().destination, workload } });
  });

describe('a pair of source and destination', () => {
  it('is told once; while it goes on it is counted every five minutes', async () => {
    for (let i = 0; i < 600; i++) {
      reporter.completed(refusal());
      await clock.advance(1_000);
    }
    expect(requests.map(({ method }) => method)).toEqual(['POST', 'POST']);
    expect(requests[1]?.body).toMatchObject({ series: { count: 300 } });
    fail = ({ method }) => (method === 'POST' ? new MeshError('ALREADY_EXISTS', 'there') : undefined);
    requests.length = 0;
    reporter.completed(refusal());
    await clock.advance(0);
    expect(requests.map(({ method }) => method)).toEqual(['POST', 'PATCH', 'PATCH']);
    expect(requests[2]?.body).toMatchObject({ series: { count: 303 } });
  });

  it('is no news when the connection failed for another reason', async () => {
    reporter.completed(
      refusal({ error: { code: 'DIAL_FAILED', hop: 'dial', message: '', hint: undefined } }),
    );
    reporter.completed(refusal({ error: undefined }));
    await clock.advance(0);
    expect(requests).toEqual([]);
  });
});

describe('a node under attack', () => {
  it('writes some at once, and then one every ten seconds; the others are counted as dropped', async () => {
    for (const record of many(5_000)) {
      reporter.completed(record);
      await clock.advance(20);
    }
    expect(requests).toHaveLength(20 + 9);
    expect(counts.filter((result) => result === 'dropped')).toHaveLength(5_000 - 29);
  });

  it('and without the permission asks twice a minute, and says what is missing', async () => {
    const forbidden = new MeshError('API_FORBIDDEN', 'may not create events');
    fail = () => forbidden;
    for (const record of many(600)) {
      reporter.completed(record);
      await clock.advance(100);
    }
    expect(requests).toHaveLength(2);
    expect(reporter.failures).toMatchObject([{ error: forbidden }]);
    fail = () => undefined;
    await clock.advance(60_000);
    reporter.completed(refusal());
    await clock.advance(0);
    expect(reporter.failures).toEqual([]);
  });
});
