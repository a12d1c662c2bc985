/** What the kernel refused reads as a denied connection: who, to what, by which object and why. */
import { describe, expect, it } from '@jest/globals';
import { denialRecord } from '../../../../src/apps/node/denials.ts';
import { parseIp, parsePort } from '../../../../src/base/ip.ts';
import type { Denial } from '../../../../src/datapath/egress/denials.ts';
import type { ConnectionId, ConnectionRecord } from '../../../../src/model/connection.ts';
import type { WorkloadUid } from '../../../../src/model/mesh.ts';
import { denialAccount } from '../../../../src/telemetry/denial-account.ts';
import { access, rule } from '../../../support/egress.ts';
import { meshOf, pod, service } from '../../../support/mesh-builder.ts';

const web = pod('shop/web', { ips: ['10.244.1.5', 'fd00::5'] });
const db = pod('data/db', { ips: ['10.244.2.7'], protocol: 'tcp' });
const { view } = meshOf({
  workloads: [web, db],
  services: [service('data/db', '10.96.0.7', '5432:5432', [{ address: '10.244.2.7' }])],
  access: [access('shop/closed', { egress: { default: 'deny', rules: [rule('allow', '1.1.1.1')] } })],
});

const denial = (ip: string, fields: Partial<Denial> = {}): Denial => ({
  uid: web.uid,
  destination: { ip: parseIp(ip), port: parsePort(5432) },
  protocol: 'tcp',
  ageMs: 250,
  untold: 0,
  ...fields,
});

const recordOf = (...given: Parameters<typeof denial>): ConnectionRecord =>
  denialRecord('d-1' as ConnectionId, denial(...given), view, 10_000);

describe('a refusal', () => {
  it('names pod, Service, object and reason, and when it was', () => {
    expect(recordOf('10.96.0.7')).toMatchObject({
      direction: 'outbound',
      transport: 'tcp',
      source: { workload: web, address: { ip: '10.244.1.5' } },
      destination: { workload: undefined },
      service: 'data/db',
      openedAt: 9_750,
      verdict: { allowed: false, policy: 'namespaceaccess/shop/closed' },
      error: {
        code: 'POLICY_DENIED',
        message:
          'policy namespaceaccess/shop/closed: no rule allows 10.96.0.7:5432/tcp, and spec.egress.default is Deny',
      },
    });
    expect(recordOf('10.244.2.7', { protocol: 'udp' })).toMatchObject({
      transport: 'udp',
      destination: { workload: db },
    });
    expect(recordOf('2001:db8::1')).toMatchObject({ source: { address: { ip: 'fd00::5' } } });
  });

  it('by rules that have changed since blames none of those in force', () => {
    for (const record of [recordOf('1.1.1.1'), recordOf('8.8.8.8', { uid: 'gone' as WorkloadUid })]) {
      expect(record.verdict).toMatchObject({ allowed: false, policy: undefined });
      expect(record.error).toMatchObject({
        code: 'POLICY_DENIED',
        message: expect.stringContaining('not in force'),
      });
    }
  });

  it('is logged, listed and counted once, apart by policy up to a number of them', () => {
    const seen: string[] = [];
    const account = denialAccount({
      accessLog: { completed: () => seen.push('log') },
      registry: { completed: () => seen.push('list') },
      events: { completed: () => seen.push('event') },
      metrics: {
        count: (_name, labels, by) => seen.push(`${Object.values(labels).join(' ')} ${by ?? 1}`),
      },
    });
    account.refused(recordOf('8.8.8.8', { protocol: 'udp' }));
    account.untold(7);
    expect(seen.toSorted()).toEqual([
      'any untold 7',
      'event',
      'list',
      'log',
      'udp namespaceaccess/shop/closed 1',
    ]);
    const record = recordOf('8.8.8.8');
    const policies = Array.from({ length: 300 }, (_, i) => ({ ...record.verdict, policy: `p${i}` }));
    for (const verdict of policies) account.refused({ ...record, verdict } as ConnectionRecord);
    expect(seen.filter((line) => line === 'tcp other 1')).toHaveLength(45);
  });
});
