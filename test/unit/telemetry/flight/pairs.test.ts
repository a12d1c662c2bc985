import { describe, expect, it } from '@jest/globals';
import { parseSocketAddress } from '../../../../src/base/ip.ts';
import type { ConnectionRecord } from '../../../../src/model/connection.ts';
import { policyKey } from '../../../../src/model/policy.ts';
import { pairLimits, PairTable } from '../../../../src/telemetry/flight/pairs.ts';
import { cart, failure, peer, record, web, workload } from '../records.ts';

const inbound = (extra: Partial<ConnectionRecord> = {}): ConnectionRecord =>
  record({ direction: 'inbound', ...extra });

const tableOf = (...records: readonly ConnectionRecord[]): PairTable => {
  const table = new PairTable();
  records.forEach((each) => table.completed(each));
  return table;
};

const refused = { allowed: false, policy: policyKey('shop', 'db'), reason: 'rule 1 matches' };

describe('the pairs of who talks to whom', () => {
  it('count connections of one identity to the pods of one owner on one port', () => {
    const other = workload('shop', 'web-2');
    const table = tableOf(
      inbound({ openedAt: 1000, durationMs: 5 }),
      inbound({ openedAt: 2000, durationMs: 5, destination: peer('10.0.1.9:8080', other) }),
      inbound({ destination: peer('10.0.1.8:9090', web) }),
      inbound({ destination: peer('10.0.1.8:9090', web), connections: 900 }),
      inbound({ destination: peer('10.0.1.8:9091', web), connections: 80 }),
    );
    expect(table.all()).toMatchObject([
      {
        kind: 'allowed',
        identity: cart.identity,
        sourceName: 'shop/cart',
        namespace: 'shop',
        owner: { name: 'web', kind: 'deployment' },
        uid: other.uid,
        port: 8080,
        count: 2,
        firstSeen: 1000,
        lastSeen: 2005,
      },
      { port: 9090, count: 901 },
      { port: 9091, count: 80 },
    ]);
  });

  it('know plaintext by its address, and tell allowed from denied', () => {
    const plain = peer('10.0.0.9:1', undefined, false);
    const table = tableOf(
      inbound({ source: plain }),
      inbound({ source: plain, verdict: refused, error: failure('POLICY_DENIED', 'policy') }),
    );
    expect(table.all().map(({ kind, sourceIp, policy }) => [kind, sourceIp, policy])).toEqual([
      ['plaintext', '10.0.0.9', undefined],
      ['denied', '10.0.0.9', 'shop/db'],
    ]);
  });

  it('leave out what its own node did not see arrive, and what no application took', () => {
    const table = tableOf(
      record(),
      inbound({ verdict: undefined }),
      inbound({ error: failure('DIAL_FAILED', 'dial') }),
      inbound({ destination: peer('10.0.1.8:8080') }),
    );
    expect(table.all()).toEqual([]);
    expect(tableOf(inbound({ error: failure('APPLICATION_RESET', 'relay') })).all()).toHaveLength(1);
  });

  it('forget what was seen longest ago, and a flood of strangers pushes out strangers only', () => {
    const table = tableOf(inbound());
    for (let i = 0; i < pairLimits.plaintext + 10; i++) {
      const source = {
        address: parseSocketAddress(`10.1.${i >> 8}.${i & 255}:1`),
        workload: undefined,
        identity: undefined,
      };
      table.completed(inbound({ source }));
    }
    const all = table.all();
    expect(all).toHaveLength(pairLimits.plaintext + 1);
    expect(all.map(({ sourceIp }) => String(sourceIp))).not.toContain('10.1.0.9');
    expect(all.map(({ sourceIp }) => String(sourceIp))).toContain('10.1.0.10');
  });

  it('go on counting where an earlier process ended', () => {
    const [before] = tableOf(inbound(), inbound()).all();
    const table = new PairTable();
    if (before !== undefined) table.restore(before);
    expect(table.takeChanged()).toEqual([]);
    table.completed(inbound());
    expect(table.all()).toMatchObject([{ count: 3 }]);
    expect(table.takeChanged()).toHaveLength(1);
    expect(table.takeChanged()).toEqual([]);
  });
});
